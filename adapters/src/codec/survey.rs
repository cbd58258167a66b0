//! A walk through a value before it is encoded, in search of what its format cannot tell apart.
//!
//! MessagePack and JSON write `Some(x)` as `x`, and `None`, `()` and the like as nil. So a
//! `Some(None)` is written, and read back as `None`, without any error.

use core::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// What a format cannot carry.
#[derive(Clone, Copy)]
pub(super) struct Survey {
    /// Whether values are written for people: some types write themselves otherwise then.
    is_human_readable: bool,
    /// How deep the rest of the value may be.
    depth: u8,
}

/// Whether something is written as nil.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Nil,
    Other,
}

/// Why a value would not come back.
#[derive(Debug)]
pub(super) struct Lost(String);

impl Survey {
    /// Of MessagePack, or of JSON, which is for people, and has no infinity and nothing that is not a
    /// number.
    pub(super) const fn new(is_human_readable: bool) -> Self {
        Self {
            is_human_readable,
            depth: DEPTH,
        }
    }

    /// # Errors
    /// What in the value would be lost.
    pub(super) fn check<V: Serialize>(self, value: &V) -> Result<(), Lost> {
        value.serialize(self).map(|_| ())
    }

    fn float(self, value: f64) -> Result<Shape, Lost> {
        if self.is_human_readable && !value.is_finite() {
            return Err(Lost(format!(
                "JSON has no word for {value}: choose MessagePack or Postcard"
            )));
        }
        Ok(Shape::Other)
    }

    /// What stands within.
    fn deeper(self) -> Result<Parts, Lost> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Parts(Self { depth, ..self })),
            None => Err(Lost(format!(
                "it is nested more than {DEPTH} deep, which is not read back"
            ))),
        }
    }
}

impl Serializer for Survey {
    type Ok = Shape;
    type Error = Lost;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    fn is_human_readable(&self) -> bool {
        self.is_human_readable
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Shape, Lost> {
        match value.serialize(self)? {
            Shape::Other => Ok(Shape::Other),
            Shape::Nil => Err(Lost(
                "it has a `Some` of nothing (`Some(None)`, `Some(())`), which is read back as \
                 `None`: use an enum of your own, or Postcard"
                    .into(),
            )),
        }
    }

    fn serialize_none(self) -> Result<Shape, Lost> {
        Ok(Shape::Nil)
    }

    fn serialize_unit(self) -> Result<Shape, Lost> {
        Ok(Shape::Nil)
    }

    /// MessagePack writes it as an empty array.
    fn serialize_unit_struct(self, _: &'static str) -> Result<Shape, Lost> {
        Ok(match self.is_human_readable {
            true => Shape::Nil,
            false => Shape::Other,
        })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Shape, Lost> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Shape, Lost> {
        self.deeper()?.part(value)?;
        Ok(Shape::Other)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_f32(self, value: f32) -> Result<Shape, Lost> {
        self.float(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Shape, Lost> {
        self.float(value)
    }

    fn serialize_bool(self, _: bool) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_i8(self, _: i8) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_i16(self, _: i16) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_i32(self, _: i32) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_i64(self, _: i64) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_i128(self, _: i128) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_u8(self, _: u8) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_u16(self, _: u16) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_u32(self, _: u32) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_u64(self, _: u64) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_u128(self, _: u128) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_char(self, _: char) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_str(self, _: &str) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Lost> {
        self.deeper()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Lost> {
        self.deeper()
    }
}

/// The parts of something.
pub(super) struct Parts(Survey);

impl Parts {
    fn part<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Lost> {
        value.serialize(self.0).map(|_| ())
    }
}

impl SerializeSeq for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeTuple for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeTupleStruct for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeTupleVariant for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeMap for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Lost> {
        self.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeStruct for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl SerializeStructVariant for Parts {
    type Ok = Shape;
    type Error = Lost;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Lost> {
        self.part(value)
    }

    fn end(self) -> Result<Shape, Lost> {
        Ok(Shape::Other)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Lost {}

impl ser::Error for Lost {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// How deep values may be nested: what serde_json reads, and what an unoptimized reader of
/// MessagePack has room for on a small stack.
pub(super) const DEPTH: u8 = 127;
