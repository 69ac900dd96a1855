//! Arguments as CEL values. Numbers without fraction and exponent are `int` where they fit, then `uint`; all others `double`, of
//! which those with more than fifteen digits may be off by the last bit.

use std::collections::HashMap;
use std::fmt;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::de::{DeserializeSeed, Deserializer as _, Error, MapAccess, SeqAccess, Visitor};

use crate::spelling::Spelling;
use crate::{fault, limits};

/// A value.
pub(crate) type Boxed<'v> = Box<dyn Val + 'v>;

/// Reads raw arguments: an object, or nothing and `null`, which are an empty one.
///
/// # Errors
/// They are too long, have too many values, a key twice or one that only looks like one of the rules', or are no object: a word
/// for the trail.
pub(crate) fn arguments<'a>(raw: &'a [u8], spelling: &Spelling) -> Result<Boxed<'a>, &'static str> {
    if raw.len() > limits::ARGUMENTS {
        return Err(fault::LONG);
    }
    if raw.is_empty() || raw == b"null" {
        return Ok(Box::new(CelMap::from(HashMap::new())));
    }
    let mut reading = Reading {
        spelling,
        left: limits::VALUES,
        looks_alike: false,
    };
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let values = Values {
        reading: &mut reading,
        depth: 0,
    };
    let value = match reader.deserialize_map(values) {
        Ok(value) => value,
        Err(_) if reading.looks_alike => return Err(fault::LOOK_ALIKE),
        Err(_) if reading.left == 0 => return Err(fault::LONG),
        Err(_) => return Err(fault::UNREADABLE),
    };
    match reader.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(fault::UNREADABLE),
    }
}

/// What goes along while arguments are read.
struct Reading<'s> {
    spelling: &'s Spelling,
    /// How many values there may be yet.
    left: usize,
    /// A key was found that only looks like one of the rules'.
    looks_alike: bool,
}

impl Reading<'_> {
    fn take<E: Error>(&mut self) -> Result<(), E> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| E::custom("too many values"))?;
        Ok(())
    }
}

/// Reads a value and all in it.
struct Values<'r, 's> {
    reading: &'r mut Reading<'s>,
    /// How many objects and lists it stands in, apart from the arguments themselves.
    depth: usize,
}

impl<'s> Values<'_, 's> {
    fn below(&mut self) -> Values<'_, 's> {
        Values {
            reading: self.reading,
            depth: self.depth + 1,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_> {
    type Value = Boxed<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, '_> {
    type Value = Boxed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values: Vec<Boxed<'de>> = Vec::new();
        while let Some(value) = list.next_element_seed(self.below())? {
            self.reading.take()?;
            values.push(value);
        }
        Ok(Box::new(CelList::from(values)))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut values: HashMap<CelMapKey<'de>, Boxed<'de>> = HashMap::new();
        while let Some(key) = object.next_key::<String>()? {
            self.reading.take()?;
            if self.reading.spelling.is_look_alike(&key, self.depth) {
                self.reading.looks_alike = true;
                return Err(A::Error::custom("a key that looks like another"));
            }
            let value = object.next_value_seed(self.below())?;
            if values.insert(CelMapKey::from(key), value).is_some() {
                return Err(A::Error::custom("a key stands there twice"));
            }
        }
        Ok(Box::new(CelMap::from(values)))
    }
}

#[cfg(test)]
mod tests;
