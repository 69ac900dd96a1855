//! The environment of a child: empty but for what any program needs and what the operator configured.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use sallyport_core::Secret;
use thiserror::Error;

/// What a child gets of the gateway's own environment, besides `LC_*`.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

/// Variables that make a loader or an interpreter run code before the program that was configured.
const LOADERS: [&str; 14] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "NODE_OPTIONS",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PERL5OPT",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "BASH_ENV",
    "ENV",
];

/// Why a variable is not passed on.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum RefusedVariable {
    /// ST-03.
    #[error(
        "`{0}` would load code into the server before it starts; set it in a script of yours and configure the script \
         as the command"
    )]
    Loader(String),
    /// Not representable in an environment.
    #[error("{0:?} is not a variable's name, or its value holds a NUL")]
    Malformed(String),
}

/// The child's whole environment.
///
/// # Errors
/// [`RefusedVariable`] for a configured variable that is not passed on.
pub(crate) fn environment(
    gateway: &BTreeMap<OsString, OsString>,
    configured: &BTreeMap<String, Secret<String>>,
) -> Result<BTreeMap<OsString, OsString>, RefusedVariable> {
    let mut child: BTreeMap<OsString, OsString> = gateway
        .iter()
        .filter(|(name, _)| inherited(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in configured {
        if LOADERS.contains(&name.as_str()) {
            return Err(RefusedVariable::Loader(name.clone()));
        }
        if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
            return Err(RefusedVariable::Malformed(name.clone()));
        }
        child.insert(name.into(), value.expose().into());
    }
    Ok(child)
}

fn inherited(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> BTreeMap<OsString, OsString> {
        [
            ("PATH", "/bin"),
            ("HOME", "/h"),
            ("LC_ALL", "C"),
            ("SALLYPORT_MASTER_KEY", "k"),
            ("DATABASE_URL", "d"),
            ("LD_PRELOAD", "/x.so"),
            ("NODE_OPTIONS", "--require x"),
            ("AWS_SECRET_ACCESS_KEY", "a"),
        ]
        .into_iter()
        .map(|(k, v)| (k.into(), v.into()))
        .collect()
    }

    fn configured(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Secret::from(*v)))
            .collect()
    }

    #[test]
    fn st_04_only_what_any_program_needs_is_inherited() {
        let child =
            environment(&gateway(), &configured(&[("TOKEN", "t"), ("PATH", "/opt")])).expect("passes");
        let names: Vec<_> = child.keys().filter_map(|k| k.to_str()).collect();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TOKEN"]);
        assert_eq!(child.get(OsStr::new("PATH")), Some(&OsString::from("/opt")));
    }

    #[test]
    fn st_03_variables_that_load_code_are_refused() {
        for name in LOADERS {
            let refused = environment(&gateway(), &configured(&[(name, "x")]));
            assert_eq!(refused, Err(RefusedVariable::Loader(name.to_owned())));
        }
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            assert!(matches!(
                environment(&gateway(), &configured(&[(name, value)])),
                Err(RefusedVariable::Malformed(_))
            ));
        }
    }
}
