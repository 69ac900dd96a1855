//! `x-mcp-header` in a tool's input schema: which arguments headers mirror.

use thiserror::Error;

use crate::json::{Object, decode, is_object};

/// The deepest property that is looked at.
const MAX_PATH: usize = 16;

/// The most mirrored arguments of one tool.
const MAX_HEADERS: usize = 32;

/// The type of a mirrored argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ParamType {
    /// As it is, or encoded.
    String,
    /// Decimal.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// One argument that a header mirrors.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ParamHeader {
    /// What follows `Mcp-Param-`, as annotated.
    pub name: Box<str>,
    /// The way from the arguments to the value.
    pub path: Vec<Box<str>>,
    /// Its type.
    pub kind: ParamType,
}

impl ParamHeader {
    /// The header's name, in lower case.
    #[must_use]
    pub fn header(&self) -> String {
        format!("{}{}", super::PARAM_PREFIX, self.name.to_ascii_lowercase())
    }

    /// The raw argument, if it is there and not null.
    ///
    /// # Errors
    /// `Err` if a member on the way stands twice, so that two readers could see different values.
    pub fn argument<'a>(&self, arguments: &'a [u8]) -> Result<Option<&'a [u8]>, RepeatedMember> {
        let mut value = arguments;
        for step in &self.path {
            if !is_object(value) {
                return Ok(None);
            }
            let object = Object::read(value).map_err(|_| RepeatedMember)?;
            let mut found = object.members().iter().filter(|m| m.is(step));
            let Some(member) = found.next() else {
                return Ok(None);
            };
            if found.next().is_some() {
                return Err(RepeatedMember);
            }
            value = member.value;
        }
        Ok(Some(value).filter(|v| *v != b"null"))
    }
}

/// A mirrored argument stands twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RepeatedMember;

/// Why a tool's annotations cannot be followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum InvalidAnnotation {
    /// Not a non-empty header token (RFC 9110 §5.6.2).
    #[error("`x-mcp-header` is not a header token")]
    Name,
    /// Two arguments have the same header, whatever the case.
    #[error("two arguments have the same `x-mcp-header`")]
    Duplicate,
    /// On something that is not a string, integer or boolean.
    #[error("`x-mcp-header` on a property that is not a string, integer or boolean")]
    Type,
    /// Where it cannot be found from the root through `properties` alone.
    #[error("`x-mcp-header` in a place that `properties` do not lead to")]
    Place,
    /// The schema is no object, too deep, or has too many.
    #[error("the input schema is not usable")]
    Schema,
}

/// The mirrored arguments of a tool, in the order of its raw `inputSchema`.
///
/// # Errors
/// [`InvalidAnnotation`]: the whole tool is then unfit for HTTP.
pub fn param_headers_of(input_schema: &[u8]) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
    // Nearly no tool has one.
    if memchr::memmem::find(input_schema, b"x-mcp-header").is_none()
        && memchr::memmem::find(input_schema, b"\\u").is_none()
    {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut path = Vec::new();
    properties(input_schema, &mut path, &mut found)?;
    if found.len() != occurrences(input_schema)? {
        return Err(InvalidAnnotation::Place);
    }
    Ok(found)
}

/// Looks through one schema object's `properties`; recursion ends at [`MAX_PATH`].
fn properties(
    schema: &[u8],
    path: &mut Vec<Box<str>>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), InvalidAnnotation> {
    let object = Object::read(schema).map_err(|_| InvalidAnnotation::Schema)?;
    let Some(properties_raw) = object.get("properties").filter(|raw| is_object(raw)) else {
        return Ok(());
    };
    if path.len() >= MAX_PATH {
        return Err(InvalidAnnotation::Schema);
    }
    let children = Object::read(properties_raw).map_err(|_| InvalidAnnotation::Schema)?;
    for member in children.members() {
        let (Some(name), true) = (&member.key, is_object(member.value)) else {
            continue;
        };
        path.push(name.as_ref().into());
        let child = Object::read(member.value).map_err(|_| InvalidAnnotation::Schema)?;
        if let Some(annotation) = child.get("x-mcp-header") {
            add(annotation, &child, path, found)?;
        }
        properties(member.value, path, found)?;
        path.pop();
    }
    Ok(())
}

fn add(
    annotation: &[u8],
    property: &Object<'_>,
    path: &[Box<str>],
    found: &mut Vec<ParamHeader>,
) -> Result<(), InvalidAnnotation> {
    let name = decode(annotation)
        .filter(|n| is_token(n))
        .ok_or(InvalidAnnotation::Name)?;
    let kind = match property.text("type").as_deref() {
        Some("string") => ParamType::String,
        Some("integer") => ParamType::Integer,
        Some("boolean") => ParamType::Boolean,
        _ => return Err(InvalidAnnotation::Type),
    };
    if found
        .iter()
        .any(|p: &ParamHeader| p.name.eq_ignore_ascii_case(&name))
    {
        return Err(InvalidAnnotation::Duplicate);
    }
    if found.len() >= MAX_HEADERS {
        return Err(InvalidAnnotation::Schema);
    }
    found.push(ParamHeader {
        name: name.into(),
        path: path.to_vec(),
        kind,
    });
    Ok(())
}

/// How many members `x-mcp-header` the schema has anywhere: more than were found through `properties` means that one is
/// out of place. A property that is itself called so does not count.
fn occurrences(schema: &[u8]) -> Result<usize, InvalidAnnotation> {
    count(schema, false, 0)
}

fn count(raw: &[u8], names: bool, depth: usize) -> Result<usize, InvalidAnnotation> {
    if depth > 64 {
        return Err(InvalidAnnotation::Schema);
    }
    let mut total = 0;
    match raw.first() {
        Some(b'{') => {
            for member in crate::json::members(raw).map_err(|_| InvalidAnnotation::Schema)? {
                total += usize::from(!names && member.is("x-mcp-header"));
                let data = !names
                    && ["default", "const", "enum", "examples"]
                        .iter()
                        .any(|k| member.is(k));
                if !data {
                    total += count(member.value, !names && member.is("properties"), depth + 1)?;
                }
            }
        }
        Some(b'[') => {
            for element in crate::json::elements(raw).map_err(|_| InvalidAnnotation::Schema)? {
                total += count(element.value, false, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(total)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}
