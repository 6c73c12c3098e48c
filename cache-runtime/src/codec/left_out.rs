//! What a program says of features that it was built without: `cargo test -p cache-runtime --lib left_out`.

#[cfg(not(any(feature = "msgpack", feature = "lz4", feature = "encrypt")))]
#[test]
fn a_program_without_the_features_reads_no_such_entry_and_refuses_the_settings() {
    use super::*;
    use crate::{
        config::Variables,
        store::{Head, Life, Token},
    };

    let life = Life { since: 0, fresh_until: 1, dead_at: 2 };
    let head = |format: &str| {
        let format = format.parse().unwrap();
        Head { token: Token(1), incarnation: Token(2), born: 3, life, tags: Vec::new(), shape: 0, format }
    };
    let read = |format: &str, payload: &[u8]| {
        let head = head(format);
        let bytes = Coding::default().open("app:key", &head, payload, 1 << 20, true)?;
        Codec::<u8>::stored().decode(head.format.content, &bytes)
    };
    assert_eq!(read("json", b"5"), Ok(5));
    for (format, said) in [("msgpack", "`msgpack`"), ("json+lz4", "`lz4`"), ("json+aes256gcm:a", "CACHE_ENCRYPT_KEYS")]
    {
        let message = read(format, &[5; 64]).unwrap_err();
        assert!(message.contains(said), "{message}");
    }

    let settings = [
        ("CACHE_CODEC", "msgpack", "`msgpack`"),
        ("CACHE_COMPRESS_ABOVE", "1", "`lz4`"),
        ("CACHE_ENCRYPT_KEYS", "a:secret-word", "`encrypt`"),
    ];
    for (name, text, feature) in settings {
        let find = |asked: &str| (asked == name).then(|| text.to_owned());
        let message = Coding::from_variables(&Variables(&find)).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(feature) && !message.contains("secret"), "{message}");
    }
}
