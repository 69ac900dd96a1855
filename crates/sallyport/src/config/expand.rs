//! References in values: `${env:NAME}`, `${file:PATH}` and `${secret:NAME}` are replaced once, in values only; what
//! they bring in is text and is never looked at again. `$$` stands for `$`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::problem::Collector;
use super::tree::{Node, Value};

/// The largest file that a reference may bring in.
const MAX_FILE: u64 = 1 << 20;

/// Where references look.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The process's environment, as it was at the start.
    pub env: BTreeMap<String, String>,
    /// The directory that relative paths start from: that of the configuration file.
    pub base: PathBuf,
    /// The directories that are searched for a secret's file, in order.
    pub secrets: Vec<PathBuf>,
}

/// Which references a file may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Our own: the three kinds and `$$`.
    Own,
    /// A bare `mcpServers` file: also `${NAME}` and `${NAME:-default}`, as clients write them.
    Client,
}

/// Replaces every reference of the tree's values; what cannot be replaced is a problem at its place.
pub fn expand(node: &mut Node, dialect: Dialect, sources: &Sources, problems: &mut Collector) {
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                expand(item, dialect, sources, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand(&mut entry.node, dialect, sources, problems);
            }
        }
        Value::Scalar(scalar) if scalar.text.contains('$') => match replace(&scalar.text, dialect, sources) {
            Ok(text) => {
                let written = std::mem::replace(&mut scalar.text, text);
                scalar.reference = written.contains("${").then_some(written);
            }
            Err(message) => {
                scalar.unresolved = true;
                problems.add(node.place, message);
            }
        },
        Value::Scalar(_) => {}
    }
}

fn replace(text: &str, dialect: Dialect, sources: &Sources) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((reference, after)) = after.split_once('}') else {
                return Err("`${` without `}`; close it, or write `$${` for the text itself".to_owned());
            };
            out.push_str(&resolve(reference, dialect, sources)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn resolve(reference: &str, dialect: Dialect, sources: &Sources) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => variable(name, sources)
            .ok_or_else(|| format!("the environment variable `{name}` is not set; set it before starting")),
        Some(("file", path)) => sources.file(path),
        Some(("secret", name)) => sources.secret(name),
        Some((name, fallback)) if dialect == Dialect::Client && fallback.starts_with('-') => {
            let fallback = fallback.strip_prefix('-').unwrap_or_default();
            Ok(variable(name, sources).unwrap_or_else(|| fallback.to_owned()))
        }
        None if dialect == Dialect::Client => variable(reference, sources).ok_or_else(|| {
            format!("the environment variable `{reference}` is not set; set it before starting")
        }),
        None => Err(format!(
            "unknown reference `${{{reference}}}`; write `${{env:{reference}}}` for an environment variable, or `$${{{reference}}}` for the text itself"
        )),
        Some((kind, _)) => Err(format!(
            "unknown kind of reference `{kind}`; there are `${{env:NAME}}`, `${{file:PATH}}` and `${{secret:NAME}}`"
        )),
    }
}

fn variable(name: &str, sources: &Sources) -> Option<String> {
    sources.env.get(name).cloned()
}

impl Sources {
    /// A path as the operator wrote it: `~/` is the home directory, a relative path starts at the file's directory.
    #[must_use]
    pub fn path(&self, written: &str) -> PathBuf {
        let home = self.env.get("HOME").filter(|home| !home.is_empty());
        match (written.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ if written == "~" => home.map_or_else(|| PathBuf::from("~"), PathBuf::from),
            _ => self.base.join(written),
        }
    }

    /// The text of a file, without the line break at its end.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn file(&self, written: &str) -> Result<String, String> {
        read(&self.path(written))
            .map_err(|why| format!("`{written}` cannot be read: {why}; name a readable text file"))
    }

    fn secret(&self, name: &str) -> Result<String, String> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(format!(
                "`{name}` cannot be the name of a secret; use letters, digits, `-`, `_` and `.`"
            ));
        }
        let found = self
            .secrets
            .iter()
            .map(|dir| dir.join(name))
            .find(|path| path.exists());
        let Some(path) = found else {
            let dirs: Vec<_> = self.secrets.iter().map(|dir| dir.display().to_string()).collect();
            return Err(format!(
                "there is no secret `{name}`; put it into a file of that name in {}",
                dirs.join(" or ")
            ));
        };
        read(&path).map_err(|why| {
            format!(
                "the secret `{name}` cannot be read: {why}; check the file {}",
                path.display()
            )
        })
    }
}

/// The file's text without the line break at its end.
fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| plain(&error))?.len();
    if size > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| plain(&error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources {
            env: [("HOME", "/home/h"), ("A", "x"), ("TRICK", "${env:A} $$ #: {")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Sources::default()
        }
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, result) in [
            ("${env:A}", "x"),
            ("Bearer ${env:A}!", "Bearer x!"),
            ("${env:A}${env:A}", "xx"),
            ("$$", "$"),
            ("$${env:A}", "${env:A}"),
            ("$$${env:A}", "$x"),
            ("5$ and $x", "5$ and $x"),
            ("${env:TRICK}", "${env:A} $$ #: {"),
        ] {
            assert_eq!(
                replace(text, Dialect::Own, &sources()).as_deref(),
                Ok(result),
                "{text}"
            );
        }
    }

    #[test]
    fn clients_have_two_more_forms() {
        for (text, result) in [("${A}", "x"), ("${B:-y}", "y"), ("${A:-y}", "x"), ("${B:-}", "")] {
            assert_eq!(
                replace(text, Dialect::Client, &sources()).as_deref(),
                Ok(result),
                "{text}"
            );
            assert!(replace(text, Dialect::Own, &sources()).is_err(), "{text}");
        }
        assert!(replace("${input:token}", Dialect::Client, &sources()).is_err());
    }

    #[test]
    fn what_cannot_be_replaced_says_the_mend() {
        for (text, message) in [
            (
                "${env:NOPE}",
                "the environment variable `NOPE` is not set; set it before starting",
            ),
            (
                "${file:/nope}",
                "`/nope` cannot be read: there is no such file; name a readable text file",
            ),
            (
                "${secret:../x}",
                "`../x` cannot be the name of a secret; use letters, digits, `-`, `_` and `.`",
            ),
            (
                "${env:A",
                "`${` without `}`; close it, or write `$${` for the text itself",
            ),
        ] {
            assert_eq!(
                replace(text, Dialect::Own, &sources()),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn files_and_secrets_lose_their_last_line_break_only() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("token"), "s3cret\n\n").expect("written");
        let sources = Sources {
            base: dir.path().to_owned(),
            secrets: vec![dir.path().to_owned()],
            ..Sources::default()
        };
        assert_eq!(
            replace("${file:token}", Dialect::Own, &sources).as_deref(),
            Ok("s3cret\n")
        );
        assert_eq!(
            replace("${secret:token}", Dialect::Own, &sources).as_deref(),
            Ok("s3cret\n")
        );
        assert!(replace("${secret:none}", Dialect::Own, &sources).is_err());
    }

    #[test]
    fn referenced_files_at_the_limit_and_past_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let sources = Sources {
            base: dir.path().to_owned(),
            ..Sources::default()
        };
        let limit = usize::try_from(MAX_FILE).expect("fits");
        std::fs::write(dir.path().join("at"), vec![b'a'; limit]).expect("written");
        std::fs::write(dir.path().join("past"), vec![b'a'; limit + 1]).expect("written");
        assert!(replace("${file:at}", Dialect::Own, &sources).is_ok());
        assert!(replace("${file:past}", Dialect::Own, &sources).is_err());
    }
}
