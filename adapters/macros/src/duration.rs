//! Spans of time as text: `"10m"`, `"1h 30m"`, `"250ms"`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Error, LitStr, Result};

/// The text as a `Duration`.
pub(crate) fn duration(text: &LitStr) -> Result<TokenStream> {
    let span = humantime::parse_duration(&text.value()).map_err(|_| {
        Error::new(
            text.span(),
            "this is no span of time: write numbers and units, such as \"10m\", \"1h 30m\" or \"250ms\"",
        )
    })?;
    let (secs, nanos) = (span.as_secs(), span.subsec_nanos());
    Ok(quote_spanned!(text.span()=> ::core::time::Duration::new(#secs, #nanos)))
}
