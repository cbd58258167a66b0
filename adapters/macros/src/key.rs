//! The key of a call.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Result};

use crate::arguments::{Arguments, text};
use crate::function::{Function, own};

/// Binds `key` to a reference to the key: to a copy of it, if the body may move what it is made of.
pub(crate) fn bind(arguments: &Arguments, function: &Function<'_>) -> Result<TokenStream> {
    let krate = &arguments.krate;
    let (key, seen, peel) = (own("key"), own("seen"), own("peel"));
    let expr = match &arguments.key {
        Some(key) => key.clone(),
        None => function.only_argument()?,
    };
    if let Some(text) = text(&expr).filter(|text| text.value().contains(['{', '}'])) {
        return Ok(quote!(let #key = &::std::format!(#text);));
    }
    let bound = quote! {
        let #seen = &(#expr);
        let #peel = #krate::expand::Peel(#seen);
    };
    Ok(if function.may_move(&expr) {
        quote! {
            #bound
            let #key = &::std::borrow::ToOwned::to_owned(#peel.key());
        }
    } else {
        quote! {
            #bound
            let #key = #peel.key();
        }
    })
}

/// Binds `cache` to a reference to the cache.
pub(crate) fn bind_cache(arguments: &Arguments, function: &Function<'_>) -> TokenStream {
    let (cache, expr) = (own("cache"), &arguments.cache);
    if function.may_move(expr) {
        quote!(let #cache = &::core::clone::Clone::clone(&(#expr));)
    } else {
        quote!(let #cache = &(#expr);)
    }
}

/// Binds `when` to whether the cache is used.
pub(crate) fn bind_when(when: Option<&Expr>) -> TokenStream {
    let name = own("when");
    match when {
        Some(when) => quote!(let #name: bool = #when;),
        None => quote!(let #name = true;),
    }
}
