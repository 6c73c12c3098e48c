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

    #[::cache_runtime::invalidates(two(id), tag = "a:<id>")]
    pub async fn write(id: u64) -> u64 {
        id
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
    assert_eq!(renamed::get(1).await, 1);
    renamed::set(renamed::Id(1).0).await;
    assert_eq!(defined("x".into()).await, "x");
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
