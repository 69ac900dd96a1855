//! What an expression is made of: whether all of it is known and within the bounds, and what it looks at.

use std::collections::HashMap;
use std::mem;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::{Context, Env, ExecutionError, Value};
use regex::{Regex, RegexBuilder};

use crate::spelling::Names;
use crate::{compile, limits, scope, steps};

/// What an expression looks at, as far as it matters when it can be evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reads {
    /// The arguments.
    pub(crate) args: bool,
    /// The time.
    pub(crate) now: bool,
    /// Which resource it is, by either name.
    pub(crate) resource: bool,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Inspected {
    pub(crate) reads: Reads,
    /// The arguments that it names.
    pub(crate) names: Names,
    /// The regular expressions, by their text.
    pub(crate) patterns: HashMap<String, Regex>,
}

/// Looks at all of an expression, and has its loops pay for their steps.
///
/// # Errors
/// What is wrong, and the mend after a semicolon.
pub(crate) fn inspect(expression: &mut IdedExpr, env: &Env) -> Result<Inspected, String> {
    if !may_be_true(&expression.expr) {
        return Err("the expression is never true or false; write a comparison".to_owned());
    }
    let mut inspector = Inspector {
        env,
        functions: compile::functions(Env::stdlib()),
        bound: Vec::new(),
        found: Inspected::default(),
    };
    inspector.look(expression, 1, 0)?;
    Ok(inspector.found)
}

fn may_be_true(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(literal) => matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => false,
        Expr::Call(call) => !["_+_", "_-_", "_*_", "_/_", "_%_", "-_"].contains(&&*call.func_name),
        _ => true,
    }
}

struct Inspector<'e> {
    env: &'e Env,
    functions: Context<'static, 'static>,
    /// The names that the loops around it have given.
    bound: Vec<String>,
    found: Inspected,
}

impl Inspector<'_> {
    fn look(&mut self, node: &mut IdedExpr, depth: usize, loops: usize) -> Result<(), String> {
        if depth > limits::DEPTH {
            return Err(format!(
                "the expression is nested more than {} deep; make several rules of it",
                limits::DEPTH
            ));
        }
        let below = depth + 1;
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                self.field(select)?;
                self.name(&select.operand, &select.field);
                self.look(&mut select.operand, below, loops)
            }
            Expr::Call(call) => self.call(call, below, loops),
            Expr::List(list) => {
                let mut elements = list.elements.iter_mut();
                elements.try_for_each(|element| self.look(element, below, loops))
            }
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|entry| match &mut entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.look(&mut entry.key, below, loops)?;
                        self.look(&mut entry.value, below, loops)
                    }
                    EntryExpr::StructField(field) => self.look(&mut field.value, below, loops),
                }),
            Expr::Comprehension(comprehension) => self.each(comprehension, below, loops + 1),
            Expr::Struct(_) => {
                Err("there are no types to make values of; compare fields one by one".to_owned())
            }
            Expr::Unspecified => Err("a part of the expression is missing; write it out".to_owned()),
        }
    }

    fn variable(&mut self, name: &str) -> Result<(), String> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        let reads = &mut self.found.reads;
        match name {
            "args" => reads.args = true,
            "now" => reads.now = true,
            "resource" | "target" => reads.resource = true,
            name if scope::VARIABLES.contains(&name) => {}
            name if self.env.types().find_type(name).is_some() => {}
            _ => return Err(unknown("variable", name, &scope::VARIABLES)),
        }
        Ok(())
    }

    /// The fields of `principal` are known; those of arguments are not.
    fn field(&self, select: &SelectExpr) -> Result<(), String> {
        let of_principal = matches!(&select.operand.expr, Expr::Ident(name) if name == "principal")
            && !self.bound.iter().any(|bound| bound == "principal");
        if of_principal && !scope::PRINCIPAL.contains(&select.field.as_str()) {
            return Err(unknown(
                "`principal` with a field",
                &select.field,
                &scope::PRINCIPAL,
            ));
        }
        Ok(())
    }

    /// A field of the arguments, or of something in them. That it may be one of something else does no harm.
    fn name(&mut self, of: &IdedExpr, field: &str) {
        let names = &mut self.found.names;
        match &of.expr {
            Expr::Ident(variable) if variable == "args" => names.top.push(field.to_owned()),
            Expr::Ident(variable) if scope::VARIABLES.contains(&variable.as_str()) => {}
            _ => names.below.push(field.to_owned()),
        }
    }

    fn call(&mut self, call: &mut CallExpr, below: usize, loops: usize) -> Result<(), String> {
        let name = call.func_name.as_str();
        let is_operator = name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // `optional.of(x)`: a name with a dot in it, and no variable.
        let space = match call.target.as_deref() {
            Some(IdedExpr {
                expr: Expr::Ident(space),
                ..
            }) if self.variable(space).is_err() => Some(space.clone()),
            _ => None,
        };
        let full = space
            .as_ref()
            .map_or_else(|| name.to_owned(), |space| format!("{space}.{name}"));
        let is_member = call.target.is_some() && space.is_none();
        if !is_operator && !self.is_function(&full, is_member) {
            if let (Some(space), true) = (&space, self.is_function(name, true)) {
                return Err(unknown("variable", space, &scope::VARIABLES));
            }
            return Err(format!(
                "there is no function `{full}` that is written like this; those of the CEL specification are known"
            ));
        }
        // `of[field]`, `of.?field`, `field in of`.
        if let [
            of,
            IdedExpr {
                expr: Expr::Literal(LiteralValue::String(field)),
                ..
            },
        ] = call.args.as_slice()
            && ["_[_]", "_[?_]", "_?._"].contains(&name)
        {
            self.name(of, field.inner());
        }
        if let [
            IdedExpr {
                expr: Expr::Literal(LiteralValue::String(field)),
                ..
            },
            of,
        ] = call.args.as_slice()
            && name == "@in"
        {
            self.name(of, field.inner());
        }
        if full == "matches" {
            self.pattern(if is_member {
                call.args.first()
            } else {
                call.args.get(1)
            })?;
        }
        if let Some(target) = call.target.as_deref_mut().filter(|_| is_member) {
            self.look(target, below, loops)?;
        }
        let mut arguments = call.args.iter_mut();
        arguments.try_for_each(|argument| self.look(argument, below, loops))
    }

    /// Whether there is such a function: without arguments it fails then for their want.
    fn is_function(&self, name: &str, is_member: bool) -> bool {
        let nothing = IdedExpr {
            id: 0,
            expr: Expr::Literal(LiteralValue::Null),
        };
        let call = CallExpr {
            func_name: name.to_owned(),
            target: is_member.then(|| Box::new(nothing)),
            args: Vec::new(),
        };
        let call = IdedExpr {
            id: 0,
            expr: Expr::Call(call),
        };
        let tried = Value::resolve(&call, &self.functions);
        !matches!(tried, Err(ExecutionError::UndeclaredReference(_)))
    }

    /// A pattern is compiled now: it has to be a text of the expression.
    fn pattern(&mut self, argument: Option<&IdedExpr>) -> Result<(), String> {
        let Some(IdedExpr {
            expr: Expr::Literal(LiteralValue::String(text)),
            ..
        }) = argument
        else {
            return Err(
                "the pattern of `matches` is not written out; write it as a text in quotes".to_owned(),
            );
        };
        let text = text.inner();
        let regex = RegexBuilder::new(text).size_limit(limits::PATTERN).build();
        let regex = regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "the pattern of `matches` is too large; write a shorter one".to_owned()
            }
            _ => "the pattern of `matches` is no regular expression; write one without look-around and \
                  back-references"
                .to_owned(),
        })?;
        self.found.patterns.insert(text.to_owned(), regex);
        Ok(())
    }

    fn each(&mut self, each: &mut ComprehensionExpr, below: usize, loops: usize) -> Result<(), String> {
        if loops > limits::LOOPS {
            return Err(format!(
                "loops are nested more than {} deep; make several rules of it",
                limits::LOOPS
            ));
        }
        self.look(&mut each.iter_range, below + 1, loops - 1)?;
        self.look(&mut each.accu_init, below, loops - 1)?;
        let known = self.bound.len();
        let names = [
            Some(&each.iter_var),
            each.iter_var2.as_ref(),
            Some(&each.accu_var),
        ];
        self.bound.extend(names.into_iter().flatten().cloned());
        for part in [&mut each.loop_cond, &mut each.loop_step, &mut each.result] {
            self.look(part, below, loops)?;
        }
        self.bound.truncate(known);
        let range = mem::take(&mut each.iter_range);
        each.iter_range = IdedExpr {
            id: range.id,
            expr: Expr::Call(CallExpr {
                func_name: steps::FUNCTION.to_owned(),
                target: None,
                args: vec![range],
            }),
        };
        Ok(())
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(60).collect();
    let known: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    format!("there is no {what} `{name}`; known here: {}", known.join(", "))
}
