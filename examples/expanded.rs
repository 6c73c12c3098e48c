//! What `#[cached]` writes, in a form to be read: the method of the README, annotated in `written`
//! and expanded by hand in `expanded`. Both are run, under keys of their own.
//!
//! The names in `cache_runtime::__private` are the generated code's own and change without notice;
//! this file is for reading, not a way to write. The exact expansion of many forms is kept as
//! snapshots beside the macros.
//!
//! ```console
//! $ cargo run --example expanded
//! ```

use cache_runtime::Cache;

type Found = Result<Option<String>, std::io::Error>;

mod written {
    use cache_runtime::cached;

    pub struct Users;

    impl Users {
        #[cached(ttl = 3600, key = "written:<id>")]
        pub async fn get_user(&self, id: u64) -> super::Found {
            Ok(Some(format!("user {id}")))
        }
    }
}

mod expanded {
    use cache_runtime::{__private as private, Invalidation};

    use super::Found;

    pub struct Users;

    impl Users {
        pub async fn get_user(&self, id: u64) -> Found {
            // What the return type *is*, an alias seen through: here a `Result` of an `Option`.
            let shape = {
                use private::Errors as _; // and `Outer`, `Inner`, for return types that are not known to be these
                private::L1::<Found>::NEW.outer().inner().errors()
            };
            let call = {
                let (function, cache) = (Self::__cached_get_user(), &private::global());
                // Writes the arguments as they are, for a look at what this thread has at hand, and then the
                // key's text, on the stack. All of it is gone before the first await.
                let write = |key: &mut private::KeyWriter| {
                    key.template("expanded:");
                    key.arg(&id);
                };
                match private::ask(shape, private::stored(shape), function, cache, write) {
                    Ok(value) => return value,
                    Err(call) => call,
                }
            };
            // A box is made only on a miss, so that the future of a hit stays small.
            call.load(async move {
                // The body.
                Ok(Some(format!("user {id}")))
            })
            .await
        }

        /// The function as the program knows it: listed, counted and named by the path of `__Here`.
        fn __cached_get_user() -> &'static private::Function {
            struct __Here;
            #[private::linkme::distributed_slice(private::REGISTRY)]
            #[linkme(crate = private::linkme)]
            static FUNCTION: private::Function = private::Function::new(private::Plan {
                here: private::type_name::<__Here>,
                within: "__cached_get_user",
                name: "get_user",
                template: Some("expanded:<id>"),
                value: "Found",
                file: file!(),
                line: line!(),
                policy: private::Policy {
                    ttl: Some(private::Duration::from_millis(3_600_000)),
                    ..private::Policy::DEFAULT
                },
                ..private::Plan::DEFAULT
            });
            &FUNCTION
        }

        /// Takes what the key takes, and renders it in the same way.
        pub fn invalidate_get_user(&self, id: u64) -> Invalidation {
            let (function, cache) = (Self::__cached_get_user(), &private::global());
            private::invalidate(function, cache, |key| {
                key.template("expanded:");
                key.arg(&id);
            })
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Cache::builder().namespace("expanded").build().await?.install()?;
    let (written, expanded) = (written::Users, expanded::Users);
    for _ in 0..3 {
        println!("{:?} {:?}", written.get_user(7).await?, expanded.get_user(7).await?);
    }
    written.invalidate_get_user(7).await?;
    expanded.invalidate_get_user(7).await?;
    println!("{:?} {:?}", written.get_user(7).await?, expanded.get_user(7).await?);
    for function in Cache::global().stats().await.functions {
        println!("{}: {} hits, {} loads", function.path, function.figures.hits, function.figures.loads);
    }
    Ok(())
}
