//! Types that can't travel, told by how they are written.
//!
//! Knows: types as they are written. Does not know: what they mean.

use syn::visit::{self, Visit};
use syn::{FnArg, ReturnType, Signature, TypeImplTrait, TypePtr, TypeReference};

/// Why the arguments or the result are nothing that can be owned on the other side, if it is so.
pub fn refusal(signature: &Signature) -> Option<syn::Error> {
    let mut looked = Looked::default();
    for input in &signature.inputs {
        if let FnArg::Typed(input) = input {
            looked.visit_type(&input.ty);
        }
    }
    if let ReturnType::Type(_, result) = &signature.output {
        looked.visit_type(result);
    }
    looked.found
}

#[derive(Default)]
struct Looked {
    found: Option<syn::Error>,
}

impl Looked {
    fn refuse(&mut self, tokens: impl quote::ToTokens, text: &str) {
        self.found
            .get_or_insert_with(|| syn::Error::new_spanned(tokens, text));
    }
}

impl<'ast> Visit<'ast> for Looked {
    fn visit_type_reference(&mut self, node: &'ast TypeReference) {
        self.refuse(
            node,
            "a reference can't travel to another process: take or return the value itself (String for &str, Vec<T> for &[T])",
        );
    }

    fn visit_type_ptr(&mut self, node: &'ast TypePtr) {
        self.refuse(node, "a pointer means nothing in another process");
    }

    fn visit_type_impl_trait(&mut self, node: &'ast TypeImplTrait) {
        self.refuse(
            node,
            "`impl Trait` makes many functions of one, or hides what is to be sent: name the type",
        );
        visit::visit_type_impl_trait(self, node);
    }
}
