//! The attributes of jetcache, which `jetcache-tokio` and `jetcache-smol` re-export under shorter names
//! (feature `macros`): `#[cached]`, `#[invalidates]`, `#[writes_through]`, `#[derive(Key)]`.
//!
//! Each stands here twice, since what it writes names the runtime crate.

mod arguments;
mod cached;
mod derive_key;
mod duration;
mod function;
mod invalidates;
mod key;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use syn::{DeriveInput, ItemFn, parse_macro_input};

use crate::arguments::Arguments;

/// Answers an async function or method from a cache: its body is the loader.
///
/// However many callers ask for a key at the same time, one body runs, as by `Cache::get_or_load`.
///
/// | argument | | |
/// |---|---|---|
/// | `cache` | needed | the cache: `self.users`, a static, a function call |
/// | `key` | the only argument, if there is one | an expression over the arguments, or a format string of them |
/// | `ttl`, `local_ttl` | the cache's | a `Duration`, or text such as `"10m"` or `"250ms"` |
/// | `tags` | none | a list of format strings or expressions, of the arguments |
/// | `when` | `true` | if it is false the body runs and the cache is left alone |
/// | `call` | `Call::new()` | a `Call` with further wishes |
/// | `crate` | the runtime crate | its name in your program, if you have renamed it |
///
/// The function returns `Result<V, E>` or `Result<Option<V>, E>`, with `V` as the cache has it and `None` for
/// "does not exist"; or plainly `V` or `Option<V>`. `E` must be `From<jetcache::Error>`. An error of the body
/// itself reaches all callers as what it is, if `E` is `Clone`; otherwise as `E::from(Error::Load(..))`.
///
/// A plain function has no way to say that the cache has failed. If its body has not run then, it runs
/// beside the cache; if it has panicked, or was stopped by `load_timeout`, the function panics.
///
/// A format string of several arguments can give two keys one text (`"{a}:{b}"` of `"x:y", "z"` and of `"x",
/// "y:z"`). A tuple cannot, nor what derives `Key`.
///
/// ```
/// use std::sync::Arc;
///
/// use jetcache_tokio::{Cache, Error, cached};
///
/// struct Users {
///     users: Cache<u64, Arc<str>>,
/// }
///
/// impl Users {
///     #[cached(cache = self.users, key = id, ttl = "10m")]
///     async fn user(&self, id: u64) -> Result<Option<Arc<str>>, Error> {
///         // Ask the database here.
///         Ok((id == 7).then(|| "Ada".into()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let users = Users {
///     users: jetcache_tokio::builder("users").build()?,
/// };
/// assert_eq!(users.user(7).await?.as_deref(), Some("Ada"));
/// assert!(users.users.peek(&7).is_hit());
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn cached_on_tokio(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, TOKIO, cached::load)
}

/// Removes a key from a cache when an async function or method has succeeded.
///
/// | argument | | |
/// |---|---|---|
/// | `cache` | needed | the cache: `self.users`, a static, a function call |
/// | `key` | the only argument, if there is one | an expression over the arguments, or a format string of them |
/// | `when` | `true` | if it is false nothing is removed |
/// | `crate` | the runtime crate | its name in your program, if you have renamed it |
///
/// Arguments are evaluated before the body runs. It returns when the key is removed, as `Cache::invalidate`
/// does. A function that returns an `Err` removes nothing. One whose future is dropped in the middle, or that
/// panics, may have changed the row: then the removal is begun, and goes on by itself. For several keys write
/// the attribute several times. `#[writes_through]` does without the load that follows.
///
/// ```
/// use jetcache_tokio::{Cache, Error, invalidates};
///
/// #[invalidates(cache = users, key = id)]
/// async fn delete(users: &Cache<u64, String>, id: u64) -> Result<(), std::io::Error> {
///     // Delete the row here.
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let users = jetcache_tokio::builder("users").build()?;
/// users.insert(7, "Ada".into()).await?;
/// delete(&users, 7).await?;
/// assert!(!users.peek(&7).is_hit());
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn invalidates_on_tokio(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, TOKIO, invalidates::expand)
}

/// Puts what an async function or method returns in the place of what a cache has: its body is the writer of
/// `Cache::write_through`, which changes the row in the database and returns what it is now.
///
/// It takes the arguments of `#[cached]`, and returns the same types. The body runs exactly once, whether L2
/// answers or not. A function that returns an `Err`, panics, or is dropped in the middle leaves the key
/// removed, since nobody knows whether the row was changed.
///
/// ```
/// use std::sync::Arc;
///
/// use jetcache_tokio::{Cache, Error, writes_through};
///
/// #[writes_through(cache = users, key = id)]
/// async fn rename(users: &Cache<u64, Arc<str>>, id: u64, name: &str) -> Result<Arc<str>, Error> {
///     // Change the row here, and return what it is now.
///     Ok(name.into())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let users = jetcache_tokio::builder("users").build()?;
/// rename(&users, 7, "Ada").await?;
/// assert_eq!(users.peek(&7).hit().as_deref(), Some("Ada"));
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn writes_through_on_tokio(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, TOKIO, cached::write)
}

/// Derives `Key`: the text that a key has in L2.
///
/// - A struct of one field has that field's text.
/// - Other structs have the texts of their fields, joined by colons, as tuples have. A colon or backslash in a
///   field is written `\\:` or `\\\\`, so that no two keys have one text.
/// - An enum has the variant's name and then the texts of its fields. `#[key(rename = "..")]` gives a variant
///   another name; what is stored under the old one is not found any more.
/// - `#[key(prefix = "..")]` on the type is a part before all others.
/// - `#[key(text)]` on a field: its `Display` and `FromStr`, in place of its own `Key`.
/// - `#[key(crate = ..)]` on the type: the name of the runtime crate in your program, if you have renamed it.
///
/// To rename or move a field's name changes nothing; to change the order of fields gives keys other texts.
///
/// ```
/// use jetcache_tokio::Key;
///
/// #[derive(Clone, Debug, Hash, Key, PartialEq, Eq)]
/// struct Page {
///     shop: String,
///     number: u32,
/// }
///
/// let page = Page { shop: "a:b".into(), number: 7 };
/// let mut text = String::new();
/// page.write(&mut text);
/// assert_eq!(text, r"a\:b:7");
/// assert_eq!(Page::parse(&text), Some(page));
/// ```
#[proc_macro_derive(TokioKey, attributes(key))]
pub fn key_on_tokio(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    derive_key::expand(&item, TOKIO)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Answers an async function or method from a cache: its body is the loader.
///
/// However many callers ask for a key at the same time, one body runs, as by `Cache::get_or_load`.
///
/// | argument | | |
/// |---|---|---|
/// | `cache` | needed | the cache: `self.users`, a static, a function call |
/// | `key` | the only argument, if there is one | an expression over the arguments, or a format string of them |
/// | `ttl`, `local_ttl` | the cache's | a `Duration`, or text such as `"10m"` or `"250ms"` |
/// | `tags` | none | a list of format strings or expressions, of the arguments |
/// | `when` | `true` | if it is false the body runs and the cache is left alone |
/// | `call` | `Call::new()` | a `Call` with further wishes |
/// | `crate` | the runtime crate | its name in your program, if you have renamed it |
///
/// The function returns `Result<V, E>` or `Result<Option<V>, E>`, with `V` as the cache has it and `None` for
/// "does not exist"; or plainly `V` or `Option<V>`. `E` must be `From<jetcache::Error>`. An error of the body
/// itself reaches all callers as what it is, if `E` is `Clone`; otherwise as `E::from(Error::Load(..))`.
///
/// A plain function has no way to say that the cache has failed. If its body has not run then, it runs
/// beside the cache; if it has panicked, or was stopped by `load_timeout`, the function panics.
///
/// A format string of several arguments can give two keys one text (`"{a}:{b}"` of `"x:y", "z"` and of `"x",
/// "y:z"`). A tuple cannot, nor what derives `Key`.
///
/// The page of `jetcache-tokio` has an example.
#[proc_macro_attribute]
pub fn cached_on_smol(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, SMOL, cached::load)
}

/// Removes a key from a cache when an async function or method has succeeded.
///
/// | argument | | |
/// |---|---|---|
/// | `cache` | needed | the cache: `self.users`, a static, a function call |
/// | `key` | the only argument, if there is one | an expression over the arguments, or a format string of them |
/// | `when` | `true` | if it is false nothing is removed |
/// | `crate` | the runtime crate | its name in your program, if you have renamed it |
///
/// Arguments are evaluated before the body runs. It returns when the key is removed, as `Cache::invalidate`
/// does. A function that returns an `Err` removes nothing. One whose future is dropped in the middle, or that
/// panics, may have changed the row: then the removal is begun, and goes on by itself. For several keys write
/// the attribute several times. `#[writes_through]` does without the load that follows.
///
/// The page of `jetcache-tokio` has an example.
#[proc_macro_attribute]
pub fn invalidates_on_smol(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, SMOL, invalidates::expand)
}

/// Puts what an async function or method returns in the place of what a cache has: its body is the writer of
/// `Cache::write_through`, which changes the row in the database and returns what it is now.
///
/// It takes the arguments of `#[cached]`, and returns the same types. The body runs exactly once, whether L2
/// answers or not. A function that returns an `Err`, panics, or is dropped in the middle leaves the key
/// removed, since nobody knows whether the row was changed.
///
/// The page of `jetcache-tokio` has an example.
#[proc_macro_attribute]
pub fn writes_through_on_smol(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function, SMOL, cached::write)
}

/// Derives `Key`: the text that a key has in L2.
///
/// - A struct of one field has that field's text.
/// - Other structs have the texts of their fields, joined by colons, as tuples have. A colon or backslash in a
///   field is written `\\:` or `\\\\`, so that no two keys have one text.
/// - An enum has the variant's name and then the texts of its fields. `#[key(rename = "..")]` gives a variant
///   another name; what is stored under the old one is not found any more.
/// - `#[key(prefix = "..")]` on the type is a part before all others.
/// - `#[key(text)]` on a field: its `Display` and `FromStr`, in place of its own `Key`.
/// - `#[key(crate = ..)]` on the type: the name of the runtime crate in your program, if you have renamed it.
///
/// To rename or move a field's name changes nothing; to change the order of fields gives keys other texts.
#[proc_macro_derive(SmolKey, attributes(key))]
pub fn key_on_smol(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    derive_key::expand(&item, SMOL)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// An attribute on a function. Whatever is wrong with it, the function stays, so that nothing else is reported.
fn expand(
    arguments: TokenStream,
    function: TokenStream,
    runtime: &str,
    write: fn(Arguments, &ItemFn) -> syn::Result<Tokens>,
) -> TokenStream {
    let function = parse_macro_input!(function as ItemFn);
    let expanded = Arguments::parse(arguments.into(), runtime)
        .and_then(|arguments| write(arguments, &function));
    let expanded = expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote::quote!(#error #[allow(unused)] #function)
    });
    expanded.into()
}

const TOKIO: &str = "jetcache_tokio";
const SMOL: &str = "jetcache_smol";
