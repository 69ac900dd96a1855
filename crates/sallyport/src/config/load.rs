//! From the operator's file to a configuration that holds, or to everything that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::check;
use super::client_form;
use super::expand::{Dialect, Sources, expand};
use super::problem::{Collector, Problems};
use super::read::{Context, Read as _};
use super::root::Root;
use super::servers::Server;
use super::tree::{Node, Place, Value};
use super::value::{Address, FilePath, Located, WebUrl};

/// The name of the file that is looked for in the current directory.
const FILE_NAME: &str = "sallyport.yaml";
/// The largest configuration file that is read.
const MAX_FILE: u64 = 4 << 20;

/// Which file is the configuration.
#[derive(Clone, Debug, Default)]
pub struct Location {
    /// The file; `None` means built-in defaults.
    pub file: Option<PathBuf>,
    /// The process's environment, as it was at the start.
    pub env: BTreeMap<String, String>,
}

/// What the command line sets besides the file.
#[derive(Clone, Debug, Default)]
pub struct Adjustments {
    /// `--listen`.
    pub listen: Option<Address>,
    /// The address of the admin listener; only tests set it.
    pub admin_listen: Option<Address>,
    /// `--public-url`.
    pub public_url: Option<WebUrl>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--stdio`: whoever runs the gateway uses it, too.
    pub stdio: bool,
}

/// A configuration that was read, before it is known whether the servers that its profiles name exist.
#[derive(Clone, Debug)]
pub struct Draft {
    root: Root,
    data_dir: PathBuf,
    file: Option<PathBuf>,
    print: Option<u64>,
    stdio: bool,
    notes: Vec<String>,
    problems: Collector,
}

/// A configuration that holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// The sections.
    pub root: Root,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The file that it came from.
    pub file: Option<PathBuf>,
    /// Tells whether the file has changed since it was read; nothing more.
    pub(crate) print: Option<u64>,
    /// Whether every profile admits whoever runs the gateway, by standard input and output.
    pub(crate) stdio: bool,
    /// What deserves a word at start.
    pub notes: Vec<String>,
}

impl Location {
    /// The file that `-c` names, else `$SALLYPORT_CONFIG`, else `sallyport.yaml` in the current directory if there is
    /// one, else none.
    #[must_use]
    pub fn find(given: Option<PathBuf>, env: BTreeMap<String, String>) -> Self {
        let named = || {
            env.get("SALLYPORT_CONFIG")
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
        };
        let here = || Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists());
        let file = given.or_else(named).or_else(here);
        Self { file, env }
    }

    /// Reads the file. Never fails: what is wrong comes out of [`Draft::finish`].
    #[must_use]
    pub fn read(&self, adjust: &Adjustments) -> Draft {
        let Some(path) = &self.file else {
            return self.draft(Ok(Node::empty()), "built-in defaults", adjust);
        };
        let name = path.display().to_string();
        match read_file(path) {
            Ok(text) => {
                let mut draft = self.parse(&text, &name, adjust);
                draft.print = Some(print(text.as_bytes()));
                draft
            }
            Err(why) => self.draft(Err(why), &name, adjust),
        }
    }

    /// Reads a text as if it were the file `name`.
    #[must_use]
    pub fn parse(&self, text: &str, name: &str, adjust: &Adjustments) -> Draft {
        match Node::parse(text) {
            Ok(node) => self.draft(Ok(node), name, adjust),
            Err(error) => {
                let mut draft = self.draft(Ok(Node::empty()), name, adjust);
                draft.problems.add(
                    error.place,
                    format!(
                        "this is not YAML: {}; check quotes, colons and indentation",
                        error.what
                    ),
                );
                draft
            }
        }
    }

    fn draft(&self, tree: Result<Node, String>, name: &str, adjust: &Adjustments) -> Draft {
        let mut problems = Collector::new(name);
        let mut notes = Vec::new();
        let root = match tree {
            Ok(mut node) => self.root(&mut node, adjust, &mut problems, &mut notes),
            Err(why) => {
                problems.add(Place::START, why);
                Root::default()
            }
        };
        let mut draft = Draft {
            data_dir: PathBuf::new(),
            root,
            file: self.file.clone(),
            print: None,
            stdio: adjust.stdio,
            notes,
            problems,
        };
        draft.adjust(adjust);
        draft.data_dir = match &draft.root.data_dir {
            Some(dir) => dir.0.clone(),
            None => self.default_data_dir().unwrap_or_else(|| {
                draft.problems.add(
                    Place::START,
                    "neither HOME nor XDG_DATA_HOME is set; set `data_dir`",
                );
                PathBuf::new()
            }),
        };
        check::check(&draft.root, &mut draft.problems);
        draft
    }

    fn root(
        &self,
        node: &mut Node,
        adjust: &Adjustments,
        problems: &mut Collector,
        notes: &mut Vec<String>,
    ) -> Root {
        let dialect = if client_form::is_client_form(node) {
            Dialect::Client
        } else {
            Dialect::Own
        };
        let sources = self.sources(node, adjust);
        match dialect {
            Dialect::Client => client_form::adapt(node, problems, notes),
            Dialect::Own => one_name_for_servers(node, problems),
        }
        expand(node, dialect, &sources, problems);
        let mut cx = Context {
            problems,
            sources: &sources,
        };
        Root::read(node, &mut cx).unwrap_or_default()
    }

    fn sources(&self, node: &Node, adjust: &Adjustments) -> Sources {
        let parent = self
            .file
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""));
        let mut sources = Sources {
            env: self.env.clone(),
            base: std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned()),
            secrets: Vec::new(),
        };
        if parent.as_os_str().is_empty() {
            sources.base = std::path::absolute(".").unwrap_or_default();
        }
        let written = scalar_of(node, "data_dir").map(|text| sources.path(text));
        let data = adjust
            .data_dir
            .clone()
            .or(written)
            .or_else(|| self.default_data_dir());
        let systemd = self.env.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        sources.secrets.extend(systemd);
        sources.secrets.push(PathBuf::from("/run/secrets"));
        sources.secrets.extend(data.map(|dir| dir.join("secrets")));
        sources
    }

    fn default_data_dir(&self) -> Option<PathBuf> {
        let set = |name: &str| {
            self.env
                .get(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let base = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let base = base.or_else(|| set("HOME").map(|home| home.join(".local/share")));
        base.map(|base| base.join("sallyport"))
    }
}

impl Draft {
    fn adjust(&mut self, adjust: &Adjustments) {
        let at = |value| Located {
            place: Place::START,
            value,
        };
        if let Some(listen) = adjust.listen {
            self.root.listen = at(listen);
        }
        if let Some(listen) = adjust.admin_listen {
            self.root.admin_listen = at(listen);
        }
        if let Some(url) = &adjust.public_url {
            self.root.public_url = Some(Located {
                place: Place::START,
                value: url.clone(),
            });
        }
        if let Some(dir) = &adjust.data_dir {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            self.root.data_dir = Some(FilePath(dir));
        }
    }

    /// The data directory, known even where other things are wrong.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether a profile names servers that the file does not define: then it matters what was added by command.
    #[must_use]
    pub fn needs_stored(&self) -> bool {
        !check::unresolved(&self.root).is_empty()
    }

    /// The configuration, if nothing is wrong; `stored` are the names of servers that were added by command.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn finish(mut self, stored: &BTreeSet<String>) -> Result<Config, Problems> {
        check::check_references(&self.root, stored, &mut self.problems);
        let problems = self.problems.finish();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut notes = self.notes;
        notes.extend(check::warnings(&self.root));
        Ok(Config {
            root: self.root,
            data_dir: self.data_dir,
            file: self.file,
            print: self.print,
            stdio: self.stdio,
            notes,
        })
    }
}

/// Reads one server from the JSON in which the store keeps it; nothing in it is a reference.
///
/// # Errors
/// Every problem at once.
pub fn parse_server(name: &str, json: &str) -> Result<Server, Problems> {
    let mut problems = Collector::new(&format!("server {name}"));
    let sources = Sources::default();
    let mut cx = Context {
        problems: &mut problems,
        sources: &sources,
    };
    let server = match Node::parse(json) {
        Ok(node) => Server::read(&node, &mut cx).unwrap_or_default(),
        Err(error) => {
            problems.add(error.place, error.what);
            Server::default()
        }
    };
    let problems = problems.finish();
    if problems.is_empty() {
        Ok(server)
    } else {
        Err(problems)
    }
}

/// A number that changes with the content of a file. Nobody is kept from making two files with the same one.
pub(crate) fn print(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// `mcpServers` is another name of `servers`.
fn one_name_for_servers(root: &mut Node, problems: &mut Collector) {
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    let ours = entries
        .iter()
        .find(|entry| entry.key == "servers")
        .map(|entry| entry.place.line);
    for entry in entries.iter_mut().filter(|entry| entry.key == "mcpServers") {
        match ours {
            None => "servers".clone_into(&mut entry.key),
            Some(line) => {
                problems.add(
                    entry.place,
                    format!("`mcpServers` is the same key as `servers` in line {line}; keep one of them"),
                );
            }
        }
    }
    // Editors look for the schema under `$schema`.
    entries.retain(|entry| entry.key != "$schema" && (ours.is_none() || entry.key != "mcpServers"));
}

fn scalar_of<'n>(root: &'n Node, key: &str) -> Option<&'n str> {
    let Value::Map(entries) = &root.value else {
        return None;
    };
    match &entries.iter().find(|entry| entry.key == key)?.node.value {
        Value::Scalar(scalar) if !scalar.text.is_empty() => Some(&scalar.text),
        _ => None,
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let plain = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no such file; name one with `-c`, or leave it out for defaults".to_owned()
        }
        std::io::ErrorKind::InvalidData => "the file is not UTF-8 text; save it as UTF-8".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    let meta = std::fs::metadata(path).map_err(plain)?;
    if !meta.is_file() {
        return Err("this is not a file; name a YAML file".to_owned());
    }
    if meta.len() > MAX_FILE {
        return Err(format!(
            "the file is larger than {MAX_FILE} bytes; split off what is not configuration"
        ));
    }
    // Who can write the file decides which programs run.
    if meta.mode() & 0o002 != 0 {
        return Err(format!(
            "everyone may write this file; run `chmod o-w {}`",
            path.display()
        ));
    }
    std::fs::read_to_string(path).map_err(plain)
}
