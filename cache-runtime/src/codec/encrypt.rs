//! AES-256-GCM with keys that can be rotated.
//!
//! An encrypted payload is a random nonce of 96 bits, the ciphertext, and the tag of 128 bits.
//! What the entry says beside its value is bound to it ([`Binding`]): a value that was moved under
//! another key, or whose tags, shape or format were changed, does not open.
//!
//! Not bound are the entry's token and deadlines, since `expire` gives an entry new ones in a
//! script, on a server that has no key. So who can write to the server can lengthen a life, put an
//! older value of the same key back, or delete it; not read it, nor make one up.
//!
//! `aes-gcm` was chosen over `ring` because it is Rust alone, has been audited, takes the
//! processor's instructions where there are some, and wipes its keys.

use super::coding::Place;
use crate::store::Format;

#[cfg(feature = "encrypt")]
pub(crate) use built_in::Keys;
#[cfg(not(feature = "encrypt"))]
pub(crate) use left_out::Keys;

/// What a ciphertext is bound to, in a form that no other place and format has.
pub(crate) struct Binding(Vec<u8>);

impl Binding {
    pub(super) fn of(place: Place<'_>, format: &Format) -> Self {
        let Place { full_key, born: (incarnation, born), tags, shape } = place;
        let mut all = Self(b"cache-runtime entry 1".to_vec());
        all.part(full_key.as_bytes());
        all.part(&incarnation.0.to_be_bytes());
        all.part(&born.to_be_bytes());
        all.part(&shape.to_be_bytes());
        all.part(format.to_string().as_bytes());
        tags.iter().for_each(|tag| all.part(tag.as_bytes()));
        all
    }

    /// Each part behind its length, so that none can be shifted into the next.
    fn part(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(feature = "encrypt")]
mod built_in {
    use std::{fmt, sync::Arc};

    use aes_gcm::{
        Aes256Gcm, KeyInit, Nonce, Tag,
        aead::{AeadInOut, inout::InOutBuf},
    };
    use base64ct::{Base64, Encoding};
    use secrecy::{ExposeSecret, SecretSlice, SecretString};

    use super::Binding;
    use crate::{
        error::{Error, Result},
        store::KeyId,
    };

    const NONCE: usize = 12;
    const TAG: usize = 16;
    const KEY: usize = 32;

    /// Keys by their ids. The first one writes, all of them read.
    #[derive(Clone)]
    pub(crate) struct Keys(Arc<[(KeyId, Aes256Gcm)]>);

    impl Keys {
        /// `id:base64,id2:base64`.
        pub(crate) fn parse(text: SecretString) -> Result<Self> {
            let text = text.expose_secret();
            let keys = text.split(',').map(|pair| Self::one(pair.trim())).collect::<Result<Vec<_>>>()?;
            keys.into_iter()
                .try_fold(None, |all: Option<Self>, (id, key)| Self::with(all, &id, &key).map(Some))?
                .ok_or_else(wrong)
        }

        fn one(pair: &str) -> Result<(String, SecretSlice<u8>)> {
            let (id, key) = pair.split_once(':').ok_or_else(wrong)?;
            let key = Base64::decode_vec(key.trim()).map_err(|_| wrong())?;
            Ok((id.trim().to_owned(), key.into()))
        }

        /// One more key; it reads, and writes if it is the first.
        pub(crate) fn with(keys: Option<Self>, id: &str, key: &SecretSlice<u8>) -> Result<Self> {
            let id = KeyId::new(id).ok_or_else(wrong)?;
            let cipher = Aes256Gcm::new_from_slice(key.expose_secret()).map_err(|_| wrong())?;
            let mut all = keys.map(|keys| keys.0.to_vec()).unwrap_or_default();
            if all.iter().any(|(other, _)| *other == id) {
                return Err(Error::config(format!("two encryption keys have the id `{}`", id.as_str())));
            }
            all.push((id, cipher));
            Ok(Self(all.into()))
        }

        /// The id of the key that writes.
        pub(crate) fn writing(&self) -> &KeyId {
            // There is at least one: nothing makes an empty list.
            &self.0[0].0
        }

        pub(crate) fn encrypt(&self, plain: &[u8], binding: &Binding) -> Result<Vec<u8>, String> {
            let mut sealed = vec![0; NONCE];
            getrandom::fill(&mut sealed).map_err(|error| format!("the system gives no random bytes: {error}"))?;
            let nonce = nonce_of(&sealed).ok_or_else(damaged)?;
            sealed.extend_from_slice(plain);
            let text = InOutBuf::from(&mut sealed[NONCE..]);
            let tag = self.0[0].1.encrypt_inout_detached(&nonce, &binding.0, text);
            sealed.extend_from_slice(&tag.map_err(|_| "it is too long to be encrypted".to_owned())?);
            Ok(sealed)
        }

        pub(crate) fn decrypt(&self, id: &KeyId, sealed: &[u8], binding: &Binding) -> Result<Vec<u8>, String> {
            let (_, cipher) = self.0.iter().find(|(known, _)| known == id).ok_or_else(|| {
                format!("it is encrypted with the key `{}`, which is not in CACHE_ENCRYPT_KEYS", id.as_str())
            })?;
            let nonce = nonce_of(sealed).ok_or_else(damaged)?;
            let end = sealed.len().checked_sub(TAG).filter(|end| *end >= NONCE).ok_or_else(damaged)?;
            let tag = Tag::try_from(&sealed[end..]).map_err(|_| damaged())?;
            let mut text = sealed[NONCE..end].to_vec();
            let opened = cipher.decrypt_inout_detached(&nonce, &binding.0, InOutBuf::from(&mut text[..]), &tag);
            opened.map(|()| text).map_err(|_| damaged())
        }
    }

    fn nonce_of(sealed: &[u8]) -> Option<Nonce<aes_gcm::aead::consts::U12>> {
        Nonce::try_from(sealed.get(..NONCE)?).ok()
    }

    fn damaged() -> String {
        "it does not open with its key: it was changed, or moved from elsewhere".to_owned()
    }

    fn wrong() -> Error {
        Error::config(format!(
            "the encryption keys cannot be used; CACHE_ENCRYPT_KEYS is `id:key` or several of them with commas, the first \
             one writes; an id has 1 to 32 letters, digits, `-` and `_`, a key is {KEY} bytes in base64: `openssl rand -base64 {KEY}`"
        ))
    }

    /// The ids alone.
    impl fmt::Debug for Keys {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_list().entries(self.0.iter().map(|(id, _)| id.as_str())).finish()
        }
    }

    impl PartialEq for Keys {
        fn eq(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }
    }
    impl Eq for Keys {}
}

#[cfg(not(feature = "encrypt"))]
mod left_out {
    use secrecy::SecretString;

    use super::Binding;
    use crate::{
        error::{Error, Result},
        store::KeyId,
    };

    /// No keys, since nothing here can use them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Keys {}

    impl Keys {
        pub(crate) fn parse(_text: SecretString) -> Result<Self> {
            Err(Error::config("CACHE_ENCRYPT_KEYS is set; build with the feature `encrypt` of cache-runtime"))
        }

        pub(crate) fn writing(&self) -> &KeyId {
            match *self {}
        }

        pub(crate) fn encrypt(&self, _plain: &[u8], _binding: &Binding) -> Result<Vec<u8>, String> {
            match *self {}
        }

        pub(crate) fn decrypt(&self, _id: &KeyId, _sealed: &[u8], _binding: &Binding) -> Result<Vec<u8>, String> {
            match *self {}
        }
    }
}
