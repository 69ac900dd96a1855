//! From the text of an expression to what can be evaluated, once, when the configuration is read.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::thread;

use cel::common::types::CelBool;
use cel::extractors::This;
use cel::{Context, Env, ExecutionError, IdedExpr, ParseErrors, Value};
use regex::Regex;
use thiserror::Error;

use crate::inspect::{self, Inspected, Reads};
use crate::scope::Scope;
use crate::spelling::Names;
use crate::{fault, limits, steps};

/// The stack on which texts are read: 16 MiB. The parser goes down before anything has counted how deep a text is nested; this is
/// many times what one of the longest length can make it use.
const STACK: usize = 16 << 20;

/// The longest part of the parser's message that is passed on, in characters.
const WORDS: usize = 120;

/// An expression that can be evaluated.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    expression: IdedExpr,
    /// The functions, without a variable.
    root: Context<'static, 'static>,
    reads: Reads,
    names: Names,
}

/// Why a text is no expression that rules can use: what is wrong, and the mend after a semicolon.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is too long or too deep, no CEL, or uses what there is not.
    pub fn compile(source: &str) -> Result<Self, Invalid> {
        if source.len() > limits::SOURCE {
            return Err(Invalid(format!(
                "the expression is {} bytes long, and at most {} are read; make several rules of it",
                source.len(),
                limits::SOURCE
            )));
        }
        let text = source.to_owned();
        let reader = thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK);
        let reader = reader.spawn(move || read(&text));
        let read = reader.ok().and_then(|reader| reader.join().ok());
        let read =
            read.unwrap_or_else(|| Err("the expression cannot be read; write it in another way".to_owned()));
        let (expression, inspected) = read.map_err(Invalid)?;
        let root =
            root(inspected.patterns).map_err(|error| Invalid(format!("{error}; write it in another way")))?;
        Ok(Self(Arc::new(Compiled {
            source: source.into(),
            expression,
            root,
            reads: inspected.reads,
            names: inspected.names,
        })))
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it looks at.
    pub(crate) fn reads(&self) -> Reads {
        self.0.reads
    }

    /// The arguments that it names.
    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    /// Whether it is true of what the scope holds.
    ///
    /// # Errors
    /// Why it is neither true nor false.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<bool, &'static str> {
        let root: &Context<'_, '_> = &self.0.root;
        let mut context = root.new_inner_scope();
        context.set_variable_resolver(scope);
        let value = Value::resolve_val(&self.0.expression, &context);
        let value = value.map_err(|error| fault::of(&error))?;
        let value = value.downcast_ref::<CelBool>().map(|value| *value.inner());
        value.ok_or(fault::NEITHER)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

fn read(text: &str) -> Result<(IdedExpr, Inspected), String> {
    let env = Env::stdlib();
    let mut expression = env.parser().parse(text).map_err(|errors| said(&errors))?;
    let inspected = inspect::inspect(&mut expression, &env)?;
    Ok((expression, inspected))
}

/// The first thing that the parser has to say.
fn said(errors: &ParseErrors) -> String {
    let (place, words) = match errors.errors.first() {
        Some(error) => (error.pos, error.msg.as_str()),
        None => ((1, 1), ""),
    };
    let words = words.split(" expecting ").next().unwrap_or_default();
    let words = words.strip_prefix("Syntax error: ").unwrap_or(words);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let words: String = words.chars().take(WORDS).map(plain).collect();
    format!(
        "this is not CEL, from line {}, column {} of the expression on: {words}; write, for instance, `args.amount <= 100`",
        place.0, place.1
    )
}

/// The standard functions, those of steps, and `matches` with the patterns that were found.
fn root(patterns: HashMap<String, Regex>) -> Result<Context<'static, 'static>, cel::DeclarationError> {
    let mut env = Env::stdlib();
    steps::declare(&mut env)?;
    let mut root = Context::with_env(Arc::new(env));
    let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
        let found = patterns.get(&*pattern).map(|regex| regex.is_match(&text));
        found.ok_or_else(|| ExecutionError::function_error("matches", "an unknown pattern"))
    };
    root.add_function("matches", matches)?;
    Ok(root)
}

/// A context in which every function is known, to ask for them.
pub(crate) fn functions(env: Env) -> Context<'static, 'static> {
    let mut root = Context::with_env(Arc::new(env));
    // What there is already need not be added.
    let _ = root.add_function("matches", |_: Arc<String>, _: Arc<String>| false);
    root
}

#[cfg(test)]
mod tests;
