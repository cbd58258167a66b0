//! The function that an attribute stands on.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Error, Expr, FnArg, GenericArgument, Ident, ItemFn, Pat, PathArguments, ReceiverKind, Result,
    ReturnType, Type,
};

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// `Result<V, E>`.
    Result,
    /// `Result<Option<V>, E>`.
    ResultOption,
    /// `V`.
    Plain,
    /// `Option<V>`.
    PlainOption,
}

pub(crate) struct Function<'a> {
    pub(crate) item: &'a ItemFn,
    pub(crate) returns: Returns,
    /// The type that it returns.
    pub(crate) ty: TokenStream,
    /// The names that the body may move or change.
    moved: Vec<Ident>,
    /// The names of its arguments that have one, without `self`.
    arguments: Vec<Option<Ident>>,
}

impl<'a> Function<'a> {
    pub(crate) fn of(item: &'a ItemFn) -> Result<Self> {
        if item.sig.asyncness.is_none() {
            return Err(Error::new_spanned(
                item.sig.fn_token,
                "only async functions: for others there is `Cache::blocking`",
            ));
        }
        let (ty, returns) = match &item.sig.output {
            ReturnType::Default => (quote!(()), Returns::Plain),
            ReturnType::Type(_, ty) => (ty.to_token_stream(), returns(ty)),
        };
        let (mut moved, mut arguments) = (Vec::new(), Vec::new());
        for input in &item.sig.inputs {
            match input {
                FnArg::Receiver(receiver) => {
                    let shared = match &receiver.kind {
                        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
                        ReceiverKind::Typed(_, ty) => is_shared(ty),
                        _ => false,
                    };
                    if !shared {
                        moved.push(Ident::from(receiver.self_token));
                    }
                }
                FnArg::Typed(argument) => {
                    if !is_shared(&argument.ty) {
                        moved.extend(words(argument.pat.to_token_stream()));
                    }
                    arguments.push(match &*argument.pat {
                        Pat::Ident(name) => Some(name.ident.clone()),
                        _ => None,
                    });
                }
            }
        }
        Ok(Self {
            item,
            returns,
            ty,
            moved,
            arguments,
        })
    }

    /// Whether an expression names something that the body may move or change.
    pub(crate) fn may_move(&self, expr: &Expr) -> bool {
        mentions(expr.to_token_stream(), &self.moved)
    }

    /// The only argument, as the key.
    pub(crate) fn only_argument(&self) -> Result<Expr> {
        match &*self.arguments {
            [Some(only)] => Ok(syn::parse_quote!(#only)),
            _ => Err(Error::new(
                Span::call_site(),
                "`key` is missing: only a function of one argument has an obvious one",
            )),
        }
    }

    /// The body as a future of what the function returns.
    pub(crate) fn body(&self) -> TokenStream {
        let (ty, block) = (&self.ty, &self.item.block);
        quote! {
            async {
                // Says what `?` and `return` come to.
                #[allow(clippy::diverging_sub_expression, unreachable_code, unused_variables)]
                if let ::core::option::Option::Some(never) = ::core::option::Option::None::<#ty> {
                    return never;
                }
                #block
            }
        }
    }

    /// The function with another body.
    pub(crate) fn with_body(&self, body: &TokenStream) -> TokenStream {
        let ItemFn {
            attrs, vis, sig, ..
        } = self.item;
        quote! {
            #(#attrs)* #vis #sig {
                #body
            }
        }
    }
}

fn is_shared(ty: &Type) -> bool {
    matches!(ty, Type::Reference(ty) if ty.mutability.is_none())
}

/// A name of the expansion's own, which the user's code cannot see.
pub(crate) fn own(name: &str) -> Ident {
    Ident::new(&format!("__jetcache_{name}"), Span::mixed_site())
}

fn returns(ty: &Type) -> Returns {
    let generics = |ty: &Type, name: &str| -> Option<Vec<Type>> {
        let Type::Path(path) = ty else { return None };
        let last = path.path.segments.last()?;
        if last.ident != name {
            return None;
        }
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return Some(Vec::new());
        };
        let types = arguments.args.iter().filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty.clone()),
            _ => None,
        });
        Some(types.collect())
    };
    let is_option = |ty: &Type| generics(ty, "Option").is_some();
    match generics(ty, "Result") {
        Some(types) if types.first().is_some_and(is_option) => Returns::ResultOption,
        Some(_) => Returns::Result,
        None if is_option(ty) => Returns::PlainOption,
        None => Returns::Plain,
    }
}

/// The words of a pattern, the names that it binds among them.
fn words(tokens: TokenStream) -> Vec<Ident> {
    let words = |token| match token {
        TokenTree::Ident(ident) => vec![ident],
        TokenTree::Group(group) => words(group.stream()),
        _ => Vec::new(),
    };
    tokens.into_iter().flat_map(words).collect()
}

fn mentions(tokens: TokenStream, names: &[Ident]) -> bool {
    words(tokens).iter().any(|word| names.contains(word))
}
