//! Which of the two transports over HTTP a server speaks: configured, or found out at the first contact.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::spec::{HttpForm, Transport};

/// What is known of it. What was found out holds until it is contradicted.
#[derive(Debug)]
pub(crate) struct Form {
    configured: HttpForm,
    found: AtomicU8,
}

impl Form {
    pub(crate) fn new(transport: &Transport) -> Self {
        let configured = match transport {
            Transport::Http { form, .. } => *form,
            _ => HttpForm::Auto,
        };
        Self {
            configured,
            found: AtomicU8::new(0),
        }
    }

    /// As far as it is known.
    pub(crate) fn get(&self) -> HttpForm {
        match (self.configured, self.found.load(Ordering::Acquire)) {
            (HttpForm::Auto, 1) => HttpForm::Streamable,
            (HttpForm::Auto, 2) => HttpForm::Sse,
            (configured, _) => configured,
        }
    }

    /// It was found out.
    pub(crate) fn found(&self, form: HttpForm) {
        let code = match form {
            HttpForm::Auto => 0,
            HttpForm::Streamable => 1,
            HttpForm::Sse => 2,
        };
        self.found.store(code, Ordering::Release);
    }

    /// The server is not what it was taken for: it is to be found out again.
    pub(crate) fn forget(&self) {
        self.found(HttpForm::Auto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(form: HttpForm) -> Form {
        let url = url::Url::parse("http://127.0.0.1:1/mcp").expect("a URL");
        Form::new(&Transport::Http {
            url,
            headers: Vec::new(),
            form,
        })
    }

    #[test]
    fn what_is_configured_is_never_found_to_be_otherwise() {
        let auto = form(HttpForm::Auto);
        auto.found(HttpForm::Sse);
        assert_eq!(auto.get(), HttpForm::Sse);
        auto.forget();
        assert_eq!(auto.get(), HttpForm::Auto);
        let fixed = form(HttpForm::Streamable);
        fixed.found(HttpForm::Sse);
        assert_eq!(fixed.get(), HttpForm::Streamable);
    }
}
