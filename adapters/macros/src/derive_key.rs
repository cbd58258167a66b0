//! `#[derive(Key)]`: the texts of the fields, joined as a tuple's are.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Path, Result};

use crate::arguments::runtime_crate;

pub(crate) fn expand(item: &DeriveInput, runtime: &str) -> Result<TokenStream> {
    let options = Options::of(&item.attrs, &["prefix", "crate"])?;
    let krate = match &options.krate {
        Some(path) => path.to_token_stream(),
        None => runtime_crate(runtime),
    };
    if let Some(lifetime) = item.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "a key that is read back from its text cannot borrow: let it own its parts",
        ));
    }
    let shape = Shape {
        krate: &krate,
        prefix: options.prefix.as_ref(),
    };
    let (write, parse) = match &item.data {
        Data::Struct(data) => shape.of_struct(&data.fields)?,
        Data::Enum(data) => shape.of_enum(data.enum_token.span, &data.variants)?,
        Data::Union(data) => {
            return Err(Error::new_spanned(
                data.union_token,
                "a union has no text: derive `Key` for a struct or an enum",
            ));
        }
    };
    let name = &item.ident;
    let mut generics = item.generics.clone();
    for parameter in &mut generics.params {
        if let syn::GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(syn::parse_quote!(#krate::Key));
        }
    }
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Key for #name #ty_generics #where_clause {
            fn write(&self, out: &mut ::std::string::String) {
                #write
            }

            fn parse(text: &str) -> ::core::option::Option<Self> {
                #parse
            }
        }
    })
}

struct Shape<'a> {
    krate: &'a TokenStream,
    prefix: Option<&'a LitStr>,
}

impl Shape<'_> {
    fn of_struct(&self, fields: &Fields) -> Result<(TokenStream, TokenStream)> {
        let krate = self.krate;
        let parts = Parts::of(fields, krate)?;
        let (pattern, names) = (&parts.pattern, &parts.names);
        if let (None, [only]) = (self.prefix, &**names) {
            let (written, parsed) = (&parts.written[0], &parts.parsed[0]);
            return Ok((
                quote! { let Self #pattern = self; #krate::Key::write(#written, out); },
                quote! {
                    let #only = #parsed(text)?;
                    ::core::option::Option::Some(Self #pattern)
                },
            ));
        }
        let first = self.prefix.map(|prefix| quote!(parts.text(#prefix);));
        let (written, read) = (&parts.written, parts.read());
        let expect = self.prefix.map(|prefix| quote!(parts.expect(#prefix)?;));
        Ok((
            quote! {
                let Self #pattern = self;
                let mut parts = #krate::ports::key::parts::Writer::new(out);
                #first
                #(parts.part(|out| #krate::Key::write(#written, out));)*
            },
            quote! {
                let mut parts = #krate::ports::key::parts::Reader::new(text)?;
                #expect
                #read
                parts.end()?;
                ::core::option::Option::Some(Self #pattern)
            },
        ))
    }

    fn of_enum(
        &self,
        token: proc_macro2::Span,
        variants: &syn::punctuated::Punctuated<syn::Variant, syn::Token![,]>,
    ) -> Result<(TokenStream, TokenStream)> {
        let krate = self.krate;
        if variants.is_empty() {
            return Err(Error::new(token, "an enum without variants has no keys"));
        }
        let mut names: Vec<(String, Ident)> = Vec::new();
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for variant in variants {
            let options = Options::of(&variant.attrs, &["rename"])?;
            let ident = &variant.ident;
            let name =
                (options.rename).unwrap_or_else(|| LitStr::new(&ident.to_string(), ident.span()));
            if let Some((_, other)) = names.iter().find(|(known, _)| *known == name.value()) {
                return Err(Error::new(
                    name.span(),
                    format!("`{other}` has this name already: their keys would have one text"),
                ));
            }
            names.push((name.value(), ident.clone()));
            let parts = Parts::of(&variant.fields, krate)?;
            let (pattern, written, read) = (&parts.pattern, &parts.written, parts.read());
            writes.push(quote! {
                Self::#ident #pattern => {
                    parts.text(#name);
                    #(parts.part(|out| #krate::Key::write(#written, out));)*
                }
            });
            reads.push(quote! {
                #name => {
                    #read
                    Self::#ident #pattern
                }
            });
        }
        let first = self.prefix.map(|prefix| quote!(parts.text(#prefix);));
        let expect = self.prefix.map(|prefix| quote!(parts.expect(#prefix)?;));
        Ok((
            quote! {
                let mut parts = #krate::ports::key::parts::Writer::new(out);
                #first
                match self { #(#writes)* }
            },
            quote! {
                let mut parts = #krate::ports::key::parts::Reader::new(text)?;
                #expect
                let key = match &*parts.next_text()? {
                    #(#reads)*
                    _ => return ::core::option::Option::None,
                };
                parts.end()?;
                ::core::option::Option::Some(key)
            },
        ))
    }
}

/// The fields of a struct or a variant.
struct Parts {
    /// Binds each, and makes the value of what is bound.
    pattern: TokenStream,
    names: Vec<Ident>,
    /// References to what is written.
    written: Vec<TokenStream>,
    /// Functions that parse each.
    parsed: Vec<TokenStream>,
}

impl Parts {
    fn of(fields: &Fields, krate: &TokenStream) -> Result<Self> {
        let (mut names, mut written, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
        for (at, field) in fields.iter().enumerate() {
            let name = match &field.ident {
                Some(name) => format_ident!("field_{}", name),
                None => format_ident!("field_{at}"),
            };
            let (write, parse) = part(field, &name, krate)?;
            written.push(write);
            parsed.push(parse);
            names.push(name);
        }
        let pattern = match fields {
            Fields::Named(fields) => {
                let fields = fields.named.iter().map(|field| &field.ident);
                quote!({ #(#fields: #names),* })
            }
            Fields::Unnamed(_) => quote!((#(#names),*)),
            Fields::Unit => TokenStream::new(),
        };
        Ok(Self {
            pattern,
            names,
            written,
            parsed,
        })
    }

    /// Reads each into a variable of its name.
    fn read(&self) -> TokenStream {
        let (names, parsed) = (&self.names, &self.parsed);
        quote!(#(let #names = #parsed(&parts.next_text()?)?;)*)
    }
}

/// What writes a field, and what parses it. Errors about its type point at the type.
fn part(field: &Field, name: &Ident, krate: &TokenStream) -> Result<(TokenStream, TokenStream)> {
    let options = Options::of(&field.attrs, &["text"])?;
    let (ty, span) = (&field.ty, field.ty.span());
    Ok(if options.text {
        (
            quote_spanned!(span=> &#krate::ports::key::parts::text_of(#name)),
            quote_spanned!(span=> #krate::ports::key::parts::parse_text::<#ty>),
        )
    } else {
        (
            quote_spanned!(span=> #name),
            quote_spanned!(span=> <#ty as #krate::Key>::parse),
        )
    })
}

/// What `#[key(..)]` says.
#[derive(Default)]
struct Options {
    prefix: Option<LitStr>,
    rename: Option<LitStr>,
    text: bool,
    krate: Option<Path>,
}

impl Options {
    fn of(attributes: &[Attribute], allowed: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes {
            if !attribute.path().is_ident("key") {
                continue;
            }
            attribute.parse_nested_meta(|meta| {
                let known = allowed.iter().find(|known| meta.path.is_ident(known));
                match known.copied() {
                    Some("prefix") => options.prefix = Some(meta.value()?.parse()?),
                    Some("rename") => options.rename = Some(meta.value()?.parse()?),
                    Some("crate") => {
                        options.krate = Some(meta.value()?.call(Path::parse_mod_style)?);
                    }
                    Some(_) => options.text = true,
                    None => {
                        let known = allowed.join("`, `");
                        return Err(meta.error(format!("here there is only `{known}`")));
                    }
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}
