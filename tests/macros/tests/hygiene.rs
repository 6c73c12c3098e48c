//! Expansions trigger none of a user's lints and meet none of a user's names.
#![deny(
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    unused_qualifications,
    single_use_lifetimes
)]
#![forbid(unsafe_code)]

use std::sync::Arc;

use cache_runtime::{CacheKey, cached, invalidates, refreshes};

/// Names that shadow all that a careless expansion would use.
pub mod shadow {
    #![allow(dead_code, missing_docs, non_snake_case, unused_macros, clippy::items_after_statements)]

    pub struct Result;
    pub struct Option;
    pub struct Some;
    pub struct None;
    pub struct Err;
    pub struct Box;
    pub struct String;
    pub struct Vec;
    pub mod std {}
    pub mod core {}
    pub mod serde {}
    pub mod cache_runtime {}
    pub const fn Ok() {}
    pub trait Future {}
    pub trait Send {}
    pub trait Clone {}
    pub trait Outer {}
    pub trait Inner {}
    macro_rules! line {
        () => {};
    }
    macro_rules! file {
        () => {};
    }
    macro_rules! unreachable {
        () => {};
    }

    #[::cache_runtime::cached(
        key = "shadow:<id>",
        ttl = ttl,
        skip(ttl),
        tags = ["a:<id>"],
        unless = |value| *value > 3,
        negative_ttl = 1,
        companions(peek, key, refresh)
    )]
    pub async fn one(id: u64, ttl: u64) -> ::std::option::Option<u64> {
        ::std::option::Option::Some(id)
    }

    #[::cache_runtime::cached]
    pub async fn two(id: u64) -> ::std::result::Result<u64, ()> {
        ::std::result::Result::Ok(id)
    }

    #[::cache_runtime::cached(key = "shadow3:<id>", stale_while_revalidate = 3, detached)]
    pub async fn three(id: &str) -> ::std::result::Result<usize, ()> {
        ::std::result::Result::Ok(id.len())
    }

    #[::cache_runtime::invalidates(two(id), tag = "a:<id>", pattern = "shadow:<id>:*", namespace)]
    pub async fn write(id: u64) -> u64 {
        id
    }

    #[::cache_runtime::refreshes(two(id))]
    pub async fn put(id: u64) -> ::std::result::Result<u64, ()> {
        ::std::result::Result::Ok(id)
    }

    #[::cache_runtime::cached(each = ids, key = "shadow4:<ids>", ttl = 60, stale_if_error = 3, negative_ttl = 1)]
    pub async fn many(ids: &[u64]) -> ::std::result::Result<::std::vec::Vec<(u64, u64)>, ()> {
        ::std::result::Result::Ok(ids.iter().map(|id| (*id, *id)).collect())
    }

    #[derive(::cache_runtime::CacheKey)]
    #[cache_key("<topic>:<depth>")]
    pub struct Place {
        pub topic: ::std::string::String,
        pub depth: u8,
    }

    #[derive(::cache_runtime::CacheKey, ::serde::Serialize)]
    #[cache_key(hash)]
    pub struct Hashed(pub u8);

    #[derive(::core::clone::Clone, ::core::marker::Copy)]
    pub struct Users;

    pub trait Named {
        fn name(&self, id: u64) -> impl ::core::future::Future<Output = u64> + ::core::marker::Send;
    }

    #[::cache_runtime::cached(ttl = 60)]
    impl Named for Users {
        #[cached(key = "shadow5:<id>", stale_while_revalidate = 3, companions(peek, refresh))]
        async fn name(&self, id: u64) -> u64 {
            id
        }
    }

    #[::cache_runtime::cached(key = "shadow6:<place>:<hashed>")]
    pub async fn placed(place: &Place, hashed: &Hashed) -> u8 {
        place.depth + hashed.0
    }
}

/// The runtime under another name.
pub mod renamed {
    #![allow(missing_docs)]

    extern crate cache_runtime as store;

    #[store::cached(key = "renamed:<id>", crate = self::store)]
    pub async fn get(id: u64) -> u64 {
        id
    }

    #[derive(store::CacheKey)]
    #[cache_key("<0>", crate = self::store)]
    pub struct Id(pub u64);

    #[store::invalidates(get(id), crate = self::store)]
    pub async fn set(id: u64) {}

    #[store::refreshes(get(id), crate = self::store)]
    pub async fn put(id: u64) -> u64 {
        id
    }

    #[store::cached(each = ids, key = "renamed:<ids>", crate = self::store)]
    pub async fn all(ids: &[u64]) -> Vec<(u64, u64)> {
        ids.iter().map(|id| (*id, *id)).collect()
    }

    pub struct Users;

    #[store::cached(crate = self::store)]
    impl Users {
        #[cached(key = "renamed:user:<id>")]
        pub async fn user(&self, id: u64) -> u64 {
            id
        }
    }
}

macro_rules! define {
    ($name:ident, $arg:ident: $ty:ty, $key:literal, $ttl:expr) => {
        #[cached(key = $key, ttl = $ttl)]
        async fn $name($arg: $ty) -> $ty {
            let id = 1_u8;
            let __key = id;
            let _ = __key;
            $arg.clone()
        }
    };
}

define!(defined, id: String, "defined:<id>", 60);

macro_rules! define_service {
    ($service:ident, $id:ident: $ty:ty, $one:literal, $many:literal) => {
        /// Made by a macro.
        #[derive(Clone)]
        struct $service;

        #[cached(ttl = 60)]
        impl $service {
            #[cached(key = $one, stale_while_revalidate = 5, companions(refresh, peek, key))]
            async fn one(&self, $id: $ty) -> $ty {
                $id
            }

            #[cached(each = $id, key = $many)]
            async fn many(&self, $id: &[$ty]) -> Vec<($ty, $ty)> {
                $id.iter().map(|one| (*one, *one)).collect()
            }

            #[invalidates(one($id), tag = "made")]
            async fn drop_one(&self, $id: $ty) {}

            #[refreshes(one($id))]
            async fn put_one(&self, $id: $ty) -> $ty {
                $id
            }
        }
    };
}

define_service!(Made, id: u64, "made:<id>", "made:<id>");

/// Its derive is made by a macro.
macro_rules! define_key {
    ($name:ident { $($field:ident),+ }, $key:literal) => {
        #[derive(CacheKey)]
        #[cache_key($key)]
        struct $name {
            $($field: u8),+
        }
    };
}

define_key!(MadeKey { left, right }, "<left>:<right>");

#[cached(key = "made_key:<key>")]
async fn by_made_key(key: MadeKey) -> u8 {
    key.left + key.right
}

/// Local names that an expansion might use.
#[cached(key = "locals:<__key>:<__call>:<key>:<cache>")]
async fn locals(__key: u64, __call: u64, key: u64, cache: u64) -> u64 {
    let (__shape, __cache, __function) = (1, 2, 3);
    __key + __call + key + cache + __shape + __cache + __function
}

/// A service.
#[derive(Clone, Default)]
pub struct Service {
    tenant: Arc<str>,
}

/// A key.
#[derive(CacheKey)]
#[cache_key("<topic>:<depth>")]
pub struct Request {
    topic: String,
    depth: u8,
}

impl Service {
    /// Borrows, owns, mutates.
    ///
    /// # Errors
    ///
    /// Never.
    #[cached(key = "a:<self.tenant>:<id>:<name>", stale_while_revalidate = "1m", companions(refresh, peek, key))]
    pub async fn a(&self, mut id: u64, name: &str) -> Result<u64, ()> {
        id += 1;
        Ok(id + u64::try_from(name.len()).unwrap_or(0))
    }

    /// Without a template.
    #[cached]
    pub async fn b(&self, (x, mut y): (u64, u64)) -> u64 {
        y += 1;
        x + y
    }

    /// With a struct.
    #[cached(key = "c:<request>", near)]
    pub async fn c(&self, request: &Request) -> Option<Arc<u8>> {
        Some(Arc::new(request.depth))
    }

    /// Writes.
    ///
    /// # Errors
    ///
    /// Never.
    #[refreshes(a(id, name))]
    pub async fn d(&self, id: u64, name: &str) -> Result<u64, ()> {
        let _ = name;
        Ok(id)
    }

    /// Writes.
    #[invalidates(a(id, ""), tag = "t:<id>")]
    pub async fn e(&self, id: u64) {}

    /// Nothing.
    #[cached(key = "f")]
    pub async fn f(&self) {}

    /// Not written yet.
    #[cached(key = "g")]
    pub async fn g() -> u64 {
        if true { 1 } else { unimplemented!() }
    }
}

#[tokio::test]
async fn expansions_live_among_a_users_names_and_lints() {
    assert_eq!(shadow::one(1, 60).await, Some(1));
    assert_eq!(shadow::two(1).await, Ok(1));
    assert_eq!(shadow::three("abc").await, Ok(3));
    assert_eq!(shadow::write(1).await, 1);
    assert_eq!(shadow::put(1).await, Ok(1));
    assert_eq!(shadow::many(&[1, 2]).await, Ok(vec![(1, 1), (2, 2)]));
    assert_eq!(shadow::Named::name(&shadow::Users, 1).await, 1);
    let place = shadow::Place { topic: "t".into(), depth: 1 };
    assert_eq!(shadow::placed(&place, &shadow::Hashed(2)).await, 3);
    assert_eq!(place.topic, "t");
    assert_eq!(renamed::get(1).await, 1);
    renamed::set(renamed::Id(1).0).await;
    assert_eq!(renamed::put(1).await, 1);
    assert_eq!(renamed::all(&[1, 3]).await, [(1, 1), (3, 3)]);
    assert_eq!(renamed::Users.user(1).await, 1);
    assert_eq!(defined("x".into()).await, "x");
    assert_eq!(Made.one(1).await, 1);
    assert_eq!(Made.many(&[1, 2]).await, [(1, 1), (2, 2)]);
    Made.drop_one(1).await;
    assert_eq!((Made.put_one(1).await, Made.refresh_one(1).await, Made.peek_one(1).await), (1, 1, Some(1)));
    assert_eq!(Made.key_one(1), "made:1");
    assert_eq!(by_made_key(MadeKey { left: 1, right: 2 }).await, 3);
    assert_eq!(locals(1, 2, 3, 4).await, 16);
    let service = Service::default();
    assert_eq!(service.a(1, "ab").await, Ok(4));
    assert_eq!(service.b((1, 2)).await, 4);
    let request = Request { topic: "t".into(), depth: 3 };
    assert_eq!(service.c(&request).await.as_deref(), Some(&3));
    assert_eq!(request.topic, "t");
    assert_eq!(service.d(1, "ab").await, Ok(1));
    service.e(1).await;
    service.f().await;
    assert_eq!(Service::g().await, 1);
}
