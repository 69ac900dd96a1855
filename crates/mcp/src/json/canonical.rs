//! One spelling for all texts of one value.

use super::{MAX_DEPTH, Object, decode, elements, is_object, is_string, quote};

/// A value in the spelling that all its spellings have in common: without white space, members in the order of their names,
/// strings with as few escapes as can be. Numbers stay as they are written. `None` for what is no JSON, and for what holds
/// a lone surrogate.
#[must_use]
pub fn canonical(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    write(raw.trim_ascii(), MAX_DEPTH, &mut out)?;
    Some(out)
}

fn write(raw: &[u8], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if is_object(raw) {
        let object = Object::read(raw).ok()?;
        let mut members = Vec::with_capacity(object.members().len());
        for member in object.members() {
            members.push((member.key.as_deref()?, member.value));
        }
        members.sort_by_key(|(key, _)| *key);
        out.push(b'{');
        for (place, (key, value)) in members.into_iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&quote(key));
            out.push(b':');
            write(value, depth, out)?;
        }
        out.push(b'}');
    } else if raw.first() == Some(&b'[') {
        out.push(b'[');
        for (place, element) in elements(raw).ok()?.into_iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write(element.value, depth, out)?;
        }
        out.push(b']');
    } else if is_string(raw) {
        out.extend_from_slice(&quote(&decode(raw)?));
    } else if raw.is_empty() {
        return None;
    } else {
        out.extend_from_slice(raw);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_become_one() {
        let one = canonical(br#"{"a":[1,{"c":"x/\u00e9","b":null}],"d":{}}"#).expect("JSON");
        for other in [
            r#" { "d" : { } , "a" : [ 1 , { "b" : null , "c" : "x\/é" } ] } "#,
            r#"{"\u0061":[1,{"b":null,"c":"\u0078/é"}],"d":{}}"#,
        ] {
            assert_eq!(canonical(other.as_bytes()).as_deref(), Some(&*one), "{other}");
        }
        for different in [r#"{"a":[1],"d":{}}"#, r#"{"a":[{"c":"x/é","b":null},1],"d":{}}"#] {
            assert_ne!(canonical(different.as_bytes()).as_deref(), Some(&*one));
        }
        for none in ["", "{", r#"{"a":"\ud800"}"#] {
            assert_eq!(canonical(none.as_bytes()), None, "{none}");
        }
    }
}
