//! `#[invalidates]`: when the body has succeeded a key is removed.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, Result};

use crate::arguments::Arguments;
use crate::function::{Function, Returns, own};
use crate::key::{bind, bind_cache, bind_when};

pub(crate) fn expand(arguments: Arguments, item: &ItemFn) -> Result<TokenStream> {
    arguments.refuse("invalidates")?;
    let function = Function::of(item)?;
    let krate = &arguments.krate;
    let (cache, key, when) = (own("cache"), own("key"), own("when"));
    let binds = [
        bind_when(arguments.when.as_ref()),
        bind(&arguments, &function)?,
        bind_cache(&arguments, &function),
    ];
    let run = function.body();
    let succeeded = match function.returns {
        Returns::Result | Returns::ResultOption => quote!(::core::result::Result::is_ok),
        Returns::Plain | Returns::PlainOption => quote!(|_| true),
    };
    Ok(function.with_body(&quote! {
        #[allow(unused_imports)]
        use #krate::expand::Whole as _;
        #(#binds)*
        #krate::expand::invalidate(#cache, #key, #when, #run, #succeeded).await
    }))
}
