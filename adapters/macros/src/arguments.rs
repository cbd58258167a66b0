//! What stands in an attribute: `cache = self.users, key = id`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Lit, LitStr, Path, Result, Token};

use crate::duration::duration;

pub(crate) struct Arguments {
    pub(crate) cache: Expr,
    pub(crate) key: Option<Expr>,
    pub(crate) ttl: Option<TokenStream>,
    pub(crate) local_ttl: Option<TokenStream>,
    pub(crate) tags: Option<Expr>,
    pub(crate) when: Option<Expr>,
    pub(crate) call: Option<Expr>,
    /// The path of the runtime crate.
    pub(crate) krate: TokenStream,
}

struct Argument {
    name: Ident,
    value: Value,
}

enum Value {
    Expr(Expr),
    Path(Path),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if !NAMES.contains(&&*name.to_string()) {
            let names = NAMES.join("`, `");
            return Err(Error::new(
                name.span(),
                format!("`{name}` is no argument here: there are `{names}`"),
            ));
        }
        input.parse::<Token![=]>()?;
        let value = if name == "crate" {
            Value::Path(input.call(Path::parse_mod_style)?)
        } else {
            Value::Expr(input.parse()?)
        };
        Ok(Self { name, value })
    }
}

impl Arguments {
    pub(crate) fn parse(arguments: TokenStream, runtime: &str) -> Result<Self> {
        let parse = Punctuated::<Argument, Token![,]>::parse_terminated;
        let mut found: Vec<Argument> = Vec::new();
        for argument in parse.parse2(arguments)? {
            let name = &argument.name;
            if found.iter().any(|other| other.name == *name) {
                return Err(Error::new(
                    name.span(),
                    format!("`{name}` stands here twice"),
                ));
            }
            found.push(argument);
        }
        let mut krate = runtime_crate(runtime);
        let mut take = |wanted: &str| {
            let at = found.iter().position(|found| found.name == wanted)?;
            match found.swap_remove(at).value {
                Value::Expr(expr) => Some(expr),
                Value::Path(path) => {
                    krate = path.into_token_stream();
                    None
                }
            }
        };
        let cache = take("cache").ok_or_else(|| {
            Error::new(
                Span::call_site(),
                "`cache` is missing: say which one, for instance `cache = self.users`",
            )
        })?;
        take("crate");
        Ok(Self {
            cache,
            key: take("key"),
            ttl: take("ttl").map(span_of_time).transpose()?,
            local_ttl: take("local_ttl").map(span_of_time).transpose()?,
            tags: take("tags"),
            when: take("when"),
            call: take("call"),
            krate,
        })
    }

    /// The tags, as a list of text.
    pub(crate) fn tags(&self) -> Option<TokenStream> {
        let tags = match self.tags.as_ref()? {
            Expr::Array(list) => {
                let texts = list.elems.iter().map(|tag| match text(tag) {
                    Some(text) => quote!(::std::format!(#text)),
                    None => quote!(::std::string::ToString::to_string(&(#tag))),
                });
                quote!(::std::vec![#(#texts),*])
            }
            tags => quote! {
                ::core::iter::Iterator::collect(::core::iter::Iterator::map(
                    ::core::iter::IntoIterator::into_iter(#tags),
                    |tag| ::std::string::ToString::to_string(&tag),
                ))
            },
        };
        Some(tags)
    }

    /// The wishes of the call.
    pub(crate) fn call(&self) -> TokenStream {
        let krate = &self.krate;
        let mut call = match &self.call {
            Some(call) => quote!(#krate::Call::clone(&(#call))),
            None => quote!(#krate::Call::new()),
        };
        if let Some(ttl) = &self.ttl {
            call = quote!(#call.ttl(#ttl));
        }
        if let Some(ttl) = &self.local_ttl {
            call = quote!(#call.local_ttl(#ttl));
        }
        call
    }

    /// # Errors
    /// If one of these is there that mean nothing here.
    pub(crate) fn refuse(&self, attribute: &str) -> Result<()> {
        let there = [
            ("ttl", self.ttl.as_ref().map(Spanned::span)),
            ("local_ttl", self.local_ttl.as_ref().map(Spanned::span)),
            ("tags", self.tags.as_ref().map(Spanned::span)),
            ("call", self.call.as_ref().map(Spanned::span)),
        ];
        match there
            .into_iter()
            .find_map(|(name, span)| Some((name, span?)))
        {
            Some((name, span)) => Err(Error::new(
                span,
                format!("`{name}` means nothing to `{attribute}`, which stores nothing"),
            )),
            None => Ok(()),
        }
    }
}

/// The path of the runtime crate, whatever the user has named so.
pub(crate) fn runtime_crate(runtime: &str) -> TokenStream {
    let name = Ident::new(runtime, Span::call_site());
    quote!(::#name)
}

/// Text that stands there as such.
pub(crate) fn text(expr: &Expr) -> Option<&LitStr> {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn span_of_time(expr: Expr) -> Result<TokenStream> {
    match text(&expr) {
        Some(text) => duration(text),
        None => Ok(expr.into_token_stream()),
    }
}

const NAMES: [&str; 8] = [
    "cache",
    "key",
    "ttl",
    "local_ttl",
    "tags",
    "when",
    "call",
    "crate",
];
