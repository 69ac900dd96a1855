//! Where a person goes after logging in: only to a place of this gateway (RU-11).

/// The path and query if it is a same-origin absolute path that browsers cannot read as anything else.
#[must_use]
pub fn checked(path: &str) -> Option<&str> {
    let plain = path.len() <= crate::params::MAX_BYTES * 2
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#'));
    let absolute = path.starts_with('/') && !path.starts_with("//");
    (plain && absolute).then_some(path)
}

/// The query of `path` if it leads to the authorization endpoint.
#[must_use]
pub fn authorize_query(path: &str) -> Option<&str> {
    path.strip_prefix("/authorize?")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn ru_11_only_paths_of_this_origin() {
        for good in ["/", "/authorize?client_id=x&state=%0a", "/a//b"] {
            assert_eq!(checked(good), Some(good));
        }
        for bad in [
            "",
            "//evil.test",
            "/\\evil.test",
            "https:evil.test",
            "https://evil.test",
            "\t//evil.test",
            "/\t/evil.test",
            "%09//evil",
            "evil",
            "/é",
            "/a#b",
        ] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn ru_11_whatever_passes_stays_at_home(path in "[/\\\\a-z:@.?%\t #]{0,24}") {
            let home = Url::parse("https://home.test/login").unwrap();
            if let Some(Ok(url)) = checked(&path).map(|path| home.join(path)) {
                prop_assert_eq!(url.origin(), home.origin());
            }
        }
    }
}
