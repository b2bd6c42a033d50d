//! The attribute `#[forkful::task]`: a function that worker processes can be asked to run.
//!
//! Knows: the shape of a function, and the names that the crate `forkful` hides for it. Does not know: what registering means.

mod owned;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Attribute, ItemFn, parse_macro_input};

/// How many arguments a task may have; the crate `forkful` has so many.
const MOST_ARGUMENTS: usize = 8;

/// Registers a function, so that `ProcessPoolExecutor::submit` takes it. The function stays as it is.
///
/// Its arguments and its result are owned values that serde can write and read. Methods, generic, `async`, `unsafe` and `extern`
/// functions are refused: register an instance of a generic one by `forkful::register`.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    match refusal(&proc_macro2::TokenStream::from(attributes), &function) {
        Some(error) => {
            let error = error.into_compile_error();
            // With the function itself, so that its uses are no errors as well.
            quote! { #error #function }.into()
        }
        None => {
            let name = &function.sig.ident;
            // It is registered where it is there.
            let conditions = function
                .attrs
                .iter()
                .filter(|attribute| is_condition(attribute));
            quote! {
                #function
                #(#conditions)*
                ::forkful::__private::submit! {
                    ::forkful::__private::Registration(
                        #[allow(deprecated)]
                        || ::forkful::register(#name)
                    )
                }
            }
            .into()
        }
    }
}

fn is_condition(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
}

/// Why this can't be a task, if it can't.
fn refusal(attributes: &proc_macro2::TokenStream, function: &ItemFn) -> Option<syn::Error> {
    let signature = &function.sig;
    let refuse =
        |tokens: &dyn quote::ToTokens, text: &str| Some(syn::Error::new_spanned(tokens, text));
    if !attributes.is_empty() {
        return refuse(attributes, "#[forkful::task] takes no arguments");
    }
    if let Some(part) = &signature.asyncness {
        return refuse(
            part,
            "a task is an ordinary function: an async one would have to be driven by a runtime in the worker",
        );
    }
    if let Some(part) = &signature.unsafety {
        return refuse(
            part,
            "a task can't be unsafe, as nobody vouches for it in the worker",
        );
    }
    if let Some(part) = &signature.abi {
        return refuse(part, "a task is a Rust function, without an ABI of its own");
    }
    if let Some(part) = &signature.variadic {
        return refuse(part, "a task has a fixed number of arguments");
    }
    if let Some(part) = signature.receiver() {
        return refuse(
            part,
            "a task is no method: make it a function that takes the value",
        );
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            &signature.generics,
            "a generic function is many functions: register those that are needed, as in `forkful::register(sum::<u64>)`",
        );
    }
    if signature.inputs.len() > MOST_ARGUMENTS {
        return refuse(
            &signature.inputs,
            "a task has eight arguments at most: put some of them into a struct or a tuple",
        );
    }
    owned::refusal(signature)
}
