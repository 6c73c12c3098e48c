//! Arrays and objects.

use std::{borrow::Cow, ops::Range};

use serde::{Serialize, ser};

use super::{Error, Json, name::Name};

/// `[…]`, in the order in which it comes.
pub(super) struct Array<'a> {
    out: &'a mut Vec<u8>,
    close: &'static str,
    any: bool,
}

impl<'a> Array<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>, close: &'static str) -> Self {
        out.push(b'[');
        Self { out, close, any: false }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.any {
            self.out.push(b',');
        }
        self.any = true;
        value.serialize(Json { out: self.out })
    }

    fn close(self) {
        self.out.extend_from_slice(self.close.as_bytes());
    }
}

/// `{…}`: the values are written as they come, and put in order at the end.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    close: &'static str,
    start: usize,
    fields: Vec<Field>,
    name: Option<Cow<'static, str>>,
}

struct Field {
    name: Cow<'static, str>,
    /// Where its value is, from the object's start.
    value: Range<usize>,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>, close: &'static str) -> Self {
        let start = out.len();
        Self { out, close, start, fields: Vec::new(), name: None }
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: Cow<'static, str>, value: &T) -> Result<(), Error> {
        let begin = self.out.len() - self.start;
        value.serialize(Json { out: self.out })?;
        self.fields.push(Field { name, value: begin..self.out.len() - self.start });
        Ok(())
    }

    fn close(mut self) -> Result<(), Error> {
        let values = self.out.split_off(self.start);
        let value_of = |field: &Field| &values[field.value.clone()];
        // A name that comes twice keeps both values, in an order of their own.
        self.fields.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| value_of(a).cmp(value_of(b))));
        self.out.push(b'{');
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            Json { out: self.out }.json(&*field.name)?;
            self.out.push(b':');
            self.out.extend_from_slice(value_of(field));
        }
        self.out.extend_from_slice(self.close.as_bytes());
        Ok(())
    }
}

macro_rules! array {
    ($($trait:ident::$method:ident),+) => {$(
        impl ser::$trait for Array<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )+};
}

array!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! object {
    ($($trait:ident),+) => {$(
        impl ser::$trait for Object<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.field(name.into(), value)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    )+};
}

object!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.name = Some(key.serialize(Name)?.into());
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = self.name.take().ok_or_else(|| <Error as ser::Error>::custom("a map gave a value without a key"))?;
        self.field(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
