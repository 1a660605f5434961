//! A serde deserializer over a parsed value, for small code.
//!
//! `serde_json`'s readers compile several ways to read each type into it: from arrays as from objects, keys as text, as
//! bytes and as numbers, each with the scanning of white space and the counting of depth. With the messages between
//! worker and objects that is a tenth of a worker whose size is its start-up time. Here a struct is an object, a list
//! an array, an enum a name or an object of one member, and the text is taken apart once, by [`super::parse_json`].

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// Why a text in JSON is not the message that it should be.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for JsonError {}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

impl serde::de::Error for JsonError {
    #[cold]
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(serde_json::Error::custom(message))
    }

    // What was found is not shown: it may be a secret, and to print numbers with a fraction is a lot of code.
    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("out of range, expected {expected}"))
    }

    // [`Fields::read`] names it.
    fn invalid_length(_length: usize, _expected: &dyn Expected) -> Self {
        Self::custom("a field is missing")
    }
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Value);

impl<'a> Reader<'a> {
    #[cold]
    fn wrong(self, expected: &str) -> JsonError {
        let found = match self.0 {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        JsonError::custom(format_args!("expected {expected}, found {found}"))
    }

    fn unsigned(self) -> Result<u64, JsonError> {
        self.0.as_u64().ok_or_else(|| self.wrong("an unsigned integer"))
    }

    fn signed(self) -> Result<i64, JsonError> {
        self.0.as_i64().ok_or_else(|| self.wrong("an integer"))
    }

    fn members(self) -> Result<Members<'a>, JsonError> {
        match self.0 {
            Value::Object(object) => Ok(Members { rest: object.iter(), value: &Value::Null }),
            _ => Err(self.wrong("an object")),
        }
    }

    fn fields(self, names: &'static [&'static str]) -> Result<Fields<'a>, JsonError> {
        match self.0 {
            Value::Object(object) => Ok(Fields { object, names: names.iter(), absent: None }),
            _ => Err(self.wrong("an object")),
        }
    }

    fn items(self) -> Result<Items<'a>, JsonError> {
        match self.0 {
            Value::Array(list) => Ok(Items(list.iter())),
            _ => Err(self.wrong("an array")),
        }
    }

    /// The name of a variant, and what is in it.
    fn variant(self) -> Result<Variant<'a>, JsonError> {
        match self.0 {
            Value::String(name) => Ok(Variant { name, value: None }),
            Value::Object(object) if object.len() == 1 => object
                .iter()
                .next()
                .map(|(name, value)| Variant { name, value: Some(Self(value)) })
                .ok_or_else(|| self.wrong("a variant")),
            _ => Err(self.wrong("the name of a variant, or an object of one member")),
        }
    }
}

/// Numbers of one sign are read in one way.
macro_rules! numbers {
    ($($method:ident)*, $read:ident, $visit:ident) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            visitor.$visit(self.$read()?)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = JsonError;

    numbers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64, unsigned, visit_u64);
    numbers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64, signed, visit_i64);

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, JsonError> {
        Err(self.wrong("nothing of an unknown type"))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_bool(self.0.as_bool().ok_or_else(|| self.wrong("true or false"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_str(self.0.as_str().ok_or_else(|| self.wrong("a string"))?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_seq(self.items()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        let items = self.items()?;
        if items.0.len() != length {
            return Err(self.wrong("an array of another length"));
        }
        visitor.visit_seq(items)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_map(self.members()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.fields(fields)?.read(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_enum(self.variant()?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }
}

struct Members<'a> {
    rest: serde_json::map::Iter<'a>,
    value: &'a Value,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, JsonError> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = value;
        seed.deserialize(StrDeserializer::<JsonError>::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, JsonError> {
        seed.deserialize(Reader(self.value))
    }
}

/// An object's members in the order of a struct's fields, so that the struct is read as a list: without comparing
/// names, and without a place for each field until all are there. What else is in the object is passed over. A field
/// has one name: with `#[serde(alias)]` the order would be another.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    names: std::slice::Iter<'static, &'static str>,
    /// The field that was asked for last, if it is neither there nor an option.
    absent: Option<&'static str>,
}

impl<'a> Fields<'a> {
    fn read<V: Visitor<'a>>(mut self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_seq(&mut self).map_err(|error| self.named(error))
    }

    /// A struct goes on after an absent field if that has a default, and fails at once if it has none.
    #[cold]
    fn named(&self, error: JsonError) -> JsonError {
        self.absent.map_or(error, JsonError::missing_field)
    }
}

impl<'de> SeqAccess<'de> for Fields<'de> {
    type Error = JsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, JsonError> {
        let Some(name) = self.names.next() else {
            return Ok(None);
        };
        if let Some(value) = self.object.get(*name) {
            self.absent = None;
            return seed.deserialize(Reader(value)).map(Some);
        }
        let without = seed.deserialize(Absent).ok();
        self.absent = if without.is_none() { Some(name) } else { None };
        Ok(without)
    }
}

/// What is not there: only an option can be read from it.
struct Absent;

/// Nothing can be read.
#[derive(Debug)]
struct Nothing;

impl std::fmt::Display for Nothing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("absent")
    }
}

impl std::error::Error for Nothing {}

impl serde::de::Error for Nothing {
    fn custom<T: std::fmt::Display>(_message: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Absent {
    type Error = Nothing;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Nothing> {
        Err(Nothing)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = JsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, JsonError> {
        self.0.next().map(|value| seed.deserialize(Reader(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Variant<'a> {
    name: &'a str,
    value: Option<Reader<'a>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = JsonError;
    type Variant = Content<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'de>), JsonError> {
        Ok((seed.deserialize(StrDeserializer::<JsonError>::new(self.name))?, Content(self.value)))
    }
}

/// What a variant holds; none for a bare name.
struct Content<'a>(Option<Reader<'a>>);

impl<'a> Content<'a> {
    fn some(self) -> Result<Reader<'a>, JsonError> {
        self.0.ok_or_else(|| JsonError::custom("a bare name of a variant that holds something"))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = JsonError;

    fn unit_variant(self) -> Result<(), JsonError> {
        match self.0 {
            None | Some(Reader(Value::Null)) => Ok(()),
            Some(held) => Err(held.wrong("a bare name")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, JsonError> {
        seed.deserialize(self.some()?)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.some()?.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.some()?.fields(fields)?.read(visitor)
    }
}
