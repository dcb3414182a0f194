//! Values and `serde`.

use crate::value::{ArrayValue, Value};
use crate::ElementType;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Serialize, Serializer};
use std::fmt;

macro_rules! with_elements {
    ($array:expr, $v:ident => $body:expr) => {
        match $array.element_type() {
            ElementType::I8 => with_elements!(@ $array, i8, $v, $body),
            ElementType::U8 => with_elements!(@ $array, u8, $v, $body),
            ElementType::I16 => with_elements!(@ $array, i16, $v, $body),
            ElementType::U16 => with_elements!(@ $array, u16, $v, $body),
            ElementType::I32 => with_elements!(@ $array, i32, $v, $body),
            ElementType::U32 => with_elements!(@ $array, u32, $v, $body),
            ElementType::I64 => with_elements!(@ $array, i64, $v, $body),
            ElementType::U64 => with_elements!(@ $array, u64, $v, $body),
            ElementType::F32 => with_elements!(@ $array, f32, $v, $body),
            ElementType::F64 => with_elements!(@ $array, f64, $v, $body),
        }
    };
    (@ $array:expr, $type:ty, $v:ident, $body:expr) => {{
        let $v: &[$type] = $array.as_slice().unwrap_or(&[]);
        $body
    }};
}

/// Text is text, other bytes are bytes; an array is the sequence of its elements, without its shape.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => s.serialize_unit(),
            Value::Bool(v) => s.serialize_bool(*v),
            Value::Int(v) => s.serialize_i64(*v),
            Value::Uint(v) => s.serialize_u64(*v),
            Value::Double(v) => s.serialize_f64(*v),
            Value::Bytes(v) => match std::str::from_utf8(v) {
                Ok(text) => s.serialize_str(text),
                Err(_) => s.serialize_bytes(v),
            },
            Value::List(v) => s.collect_seq(v),
            Value::Map(rows) => s.collect_map(rows.iter().map(|(k, v)| (k, v))),
            Value::Array(a) => with_elements!(a, v => s.collect_seq(v)),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value for LSIO")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(i64::try_from(v).map_or(Value::Uint(v), Value::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(v.to_vec()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        Value::deserialize(d)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        Value::deserialize(d)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(v) = a.next_element()? {
            items.push(v);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = a.next_entry()? {
            rows.push(row);
        }
        Ok(Value::Map(rows))
    }
}

/// What is wrong with a value for another type.
type Wrong = de::value::Error;

impl Value {
    /// Its content as another type: a map as a struct, for one.
    pub fn into_type<T: DeserializeOwned>(self) -> crate::Result<T> {
        T::deserialize(Content(self)).map_err(|e| crate::Error::usage(e.to_string()))
    }
}

struct Content(Value);

impl<'de> IntoDeserializer<'de, Wrong> for Content {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn array<'de, V: Visitor<'de>>(a: &ArrayValue, visitor: V) -> Result<V::Value, Wrong> {
    with_elements!(a, v => visitor.visit_seq(SeqDeserializer::<_, Wrong>::new(v.iter().copied())))
}

impl<'de> Deserializer<'de> for Content {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Nil => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(v),
            Value::Int(v) => visitor.visit_i64(v),
            Value::Uint(v) => visitor.visit_u64(v),
            Value::Double(v) => visitor.visit_f64(v),
            Value::Bytes(v) => match String::from_utf8(v) {
                Ok(text) => visitor.visit_string(text),
                Err(e) => visitor.visit_byte_buf(e.into_bytes()),
            },
            Value::List(v) => visitor.visit_seq(SeqDeserializer::new(v.into_iter().map(Content))),
            Value::Map(rows) => {
                let rows = rows.into_iter().map(|(k, v)| (Content(k), Content(v)));
                visitor.visit_map(MapDeserializer::new(rows))
            }
            Value::Array(a) => array(&a, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
