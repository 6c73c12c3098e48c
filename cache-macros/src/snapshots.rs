//! Whole expansions, as a person would read them: `snapshots/*.snap`.
//!
//! After a change, `INSTA_UPDATE=always cargo test -p cache-macros` writes them anew; read the
//! difference before it is committed.

use proc_macro2::TokenStream;
use quote::quote;

fn readable(expansion: TokenStream) -> String {
    let text = expansion.to_string();
    syn::parse2(expansion).map_or_else(|error| format!("{error}\n{text}"), |file| prettyplease::unparse(&file))
}

/// The expansion of a method, which cannot stand alone.
fn in_impl(expansion: &TokenStream) -> String {
    readable(quote!(impl Service { #expansion }))
}

#[test]
fn a_method_with_a_template() {
    let expansion = crate::cached_item(
        quote!(ttl = 3600, key = "user:<id>"),
        quote! {
            /// A user.
            pub async fn get_user(&self, id: u64) -> Result<Option<User>, DbError> {
                self.db.load(id).await
            }
        },
    );
    insta::assert_snapshot!(in_impl(&expansion));
}

#[test]
fn a_free_function_without_a_template() {
    let expansion = crate::cached_item(
        quote!(skip(trace)),
        quote! {
            async fn research(topic: &str, depth: u8, trace: &str) -> Report {
                run(topic, depth, trace).await
            }
        },
    );
    insta::assert_snapshot!(readable(expansion));
}

#[test]
fn a_method_with_every_kind_of_option() {
    let expansion = crate::cached_item(
        quote! {
            ttl = seconds, key = "page:<self.tenant>:<name>", skip(seconds), tags = ["page:<name>"], cache = self.cache,
            unless = |page| page.is_empty(), when = !name.is_empty(), stale_while_revalidate = "1m", near,
            companions(refresh, peek, key), negative_ttl = 5
        },
        quote! {
            async fn page(&self, name: &str, seconds: u64) -> Option<String> {
                self.render(name).await
            }
        },
    );
    insta::assert_snapshot!(in_impl(&expansion));
}

#[test]
fn a_function_over_many_ids() {
    let expansion = crate::cached_item(
        quote!(each = ids, key = "user:<ids>", ttl = "1h"),
        quote! {
            async fn get_users(&self, ids: &[u64]) -> Result<HashMap<u64, User>, DbError> {
                self.db.load_all(ids).await
            }
        },
    );
    insta::assert_snapshot!(in_impl(&expansion));
}

#[test]
fn an_impl_block_of_a_trait() {
    let expansion = crate::cached_item(
        quote!(ttl = 60),
        quote! {
            impl<T: Db> Users for Service<T> {
                type Id = u64;
                #[cached(key = "user:<id>")]
                async fn find(&self, id: Self::Id) -> Option<User> {
                    self.db.find(id).await
                }
                fn plain(&self) {}
            }
        },
    );
    insta::assert_snapshot!(readable(expansion));
}

#[test]
fn writers() {
    let invalidates = crate::writer::invalidates(
        quote!(get_user(id), self::count(), tag = "org:<org>", pattern = "research:<id>:*"),
        quote! {
            async fn rename(&self, id: u64, org: u64, name: String) -> Result<(), DbError> {
                self.db.rename(id, name).await
            }
        },
    );
    let refreshes = crate::writer::refreshes(
        quote!(get_user(id)),
        quote! {
            async fn put(&self, id: u64, name: String) -> Result<User, DbError> {
                self.db.put(id, name).await
            }
        },
    );
    let both = [invalidates, refreshes].map(|expansion| expansion.unwrap_or_else(|error| error.to_compile_error()));
    insta::assert_snapshot!(in_impl(&both.into_iter().collect()));
}

#[test]
fn a_derived_key() {
    let expansion = crate::derive_key::derive(quote! {
        #[cache_key("research:<topic>:<filter:hash>", skip(trace))]
        struct Research<T> {
            topic: T,
            filter: Filter,
            trace: String,
        }
    });
    insta::assert_snapshot!(readable(expansion.unwrap_or_else(|error| error.to_compile_error())));
}

#[test]
fn a_faulty_attribute_leaves_the_function_and_stand_ins() {
    let expansion = crate::cached_item(
        quote!(ttl = "soon", key = "user:<id>"),
        quote! {
            pub async fn get_user(id: u64) -> Option<User> {
                load(id).await
            }
        },
    );
    insta::assert_snapshot!(readable(expansion));
}
