//! `#[cached]` and `#[writes_through]`: the body brings a value, and the cache keeps it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, Result};

use crate::arguments::Arguments;
use crate::function::{Function, Returns, own};
use crate::key::{bind, bind_cache, bind_when};

pub(crate) fn load(arguments: Arguments, item: &ItemFn) -> Result<TokenStream> {
    expand(&arguments, item, "load")
}

pub(crate) fn write(arguments: Arguments, item: &ItemFn) -> Result<TokenStream> {
    expand(&arguments, item, "write")
}

fn expand(arguments: &Arguments, item: &ItemFn, verb: &str) -> Result<TokenStream> {
    let function = Function::of(item)?;
    let krate = &arguments.krate;
    let (cache, key, when, body) = (own("cache"), own("key"), own("when"), own("body"));
    let (wishes, brought, failed) = (own("call"), own("brought"), own("failed"));
    let binds = [
        bind_when(arguments.when.as_ref()),
        bind(arguments, &function)?,
        bind_cache(arguments, &function),
    ];
    let (call, run, ty) = (arguments.call(), function.body(), &function.ty);
    let tags = arguments
        .tags()
        .unwrap_or_else(|| quote!(::std::vec::Vec::new()));
    let span = item.sig.output.span();
    let (means, answer) = match function.returns {
        Returns::Result => ("value", true),
        Returns::ResultOption => ("option", true),
        Returns::Plain => ("plain_value", false),
        Returns::PlainOption => ("plain_option", false),
    };
    let means = format_ident!("{verb}_{means}", span = span);
    let answered = quote_spanned!(span=>
        #krate::expand::#means(#cache, #key, &#wishes, #body).await
    );
    let answered = if answer {
        quote_spanned! {span=>
            match #answered {
                ::core::result::Result::Ok(#brought) => ::core::result::Result::Ok(#brought),
                ::core::result::Result::Err(#failed) => ::core::result::Result::Err(
                    #krate::expand::Failed::<<#ty as #krate::expand::Returned>::Error>::new(#failed)
                        .into_own(),
                ),
            }
        }
    } else {
        answered
    };
    Ok(function.with_body(&quote! {
        #[allow(unused_imports)]
        use #krate::expand::{Convert as _, Whole as _};
        #(#binds)*
        let #wishes = #call;
        let #body = async {
            let tags: ::std::vec::Vec<::std::string::String> = #tags;
            (tags, #run.await)
        };
        if !#when {
            return #body.await.1;
        }
        #answered
    }))
}
