//! Whether a URI may come from a URI template (RFC 6570).

/// Whether `uri` can be an expansion of `template`: the literal parts stand in it in their order, an expression stands
/// for any run of characters. Looser than the RFC, and linear in the URI for each expression: which server owns a URI is
/// all that is decided here.
#[must_use]
pub fn template_matches(template: &str, uri: &str) -> bool {
    let mut literals = Literals(Some(template));
    let Some(mut rest) = literals.next().and_then(|first| uri.strip_prefix(first)) else {
        return false;
    };
    let mut literals = literals.peekable();
    if literals.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(literal) = literals.next() {
        if literals.peek().is_none() {
            return rest.ends_with(literal);
        }
        let Some((_, after)) = rest.split_once(literal) else {
            return false;
        };
        rest = after;
    }
    true
}

/// The text between expressions, from the start to the end: one more than there are expressions.
struct Literals<'a>(Option<&'a str>);

impl<'a> Iterator for Literals<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        match text
            .split_once('{')
            .and_then(|(head, tail)| Some((head, tail.split_once('}')?.1)))
        {
            Some((head, rest)) => {
                self.0 = Some(rest);
                Some(head)
            }
            None => {
                self.0 = None;
                Some(text)
            }
        }
    }
}
