//! A JSON value of unknown form as cells: names joined with dots.
//!
//! `{"a":{"b":1},"c":[2,3]}` gives `a.b`, `c.0` and `c.1`. What stands under a list without names is called `f0`, `f1`,
//! … or takes the column names of the profile, position by position. So does a row whose only key holds a list of just as
//! many scalars as the profile has columns.

use std::fmt::Write;

use super::reader::{Kind, Reader};
use super::sink::{Side, Sink};
use super::{DecodeError, DecoderSpec};

type Result<T> = std::result::Result<T, DecodeError>;

/// Names for what has none, and how much of an array is read.
#[derive(Debug)]
pub(crate) struct Flattener<'s> {
    /// The name built so far; reused.
    pub(crate) name: &'s mut String,
    /// Names of the columns of a list, in order.
    pub(crate) columns: &'s [String],
    /// Elements of an inner array that become cells; the others are skipped.
    pub(crate) array_cells: usize,
}

impl<'s> Flattener<'s> {
    pub(crate) fn new(spec: &'s DecoderSpec, name: &'s mut String, array_cells: usize) -> Self {
        Self { name, columns: &spec.column_names, array_cells }
    }

    /// An array's elements as rows.
    pub(crate) fn rows(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let mut first = reader.array()?;
        let mut row = 0;
        while reader.next_element(&mut first)? {
            self.row(reader, sink, row)?;
            row += 1;
        }
        Ok(())
    }

    /// A value as the cells of one row.
    pub(crate) fn row(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>, row: u32) -> Result<()> {
        sink.row(row)?;
        self.name.clear();
        if sink.side() == Side::Predictions {
            self.name.push_str(Side::Predictions.base());
            return self.value(reader, sink, row);
        }
        match reader.kind()? {
            Kind::Object if self.holds_only_the_columns(*reader)? => {
                let mut first = reader.object()?;
                while reader.next_key(&mut first)?.is_some() {
                    self.list(reader, sink, row)?;
                }
                Ok(())
            }
            Kind::Object => self.value(reader, sink, row),
            Kind::Array => self.list(reader, sink, row),
            _ => {
                self.column(0);
                self.value(reader, sink, row)
            }
        }
    }

    /// Whether the object that comes next has one key, whose value is a list as long as the profile has columns: SageMaker's
    /// `{"features":[1.5,16.0]}`.
    fn holds_only_the_columns(&self, mut reader: Reader<'_>) -> Result<bool> {
        if self.columns.is_empty() {
            return Ok(false);
        }
        let mut first = reader.object()?;
        if reader.next_key(&mut first)?.is_none() || reader.kind()? != Kind::Array {
            return Ok(false);
        }
        let mut first_element = reader.array()?;
        let mut elements = 0;
        while reader.next_element(&mut first_element)? {
            if matches!(reader.kind()?, Kind::Object | Kind::Array) {
                return Ok(false);
            }
            reader.skip_value()?;
            elements += 1;
        }
        Ok(elements == self.columns.len() && reader.next_key(&mut first)?.is_none())
    }

    /// A value under the name built so far.
    pub(crate) fn value(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>, row: u32) -> Result<()> {
        match reader.kind()? {
            Kind::Object => self.object(reader, sink, row),
            Kind::Array => self.array(reader, sink, row),
            _ => {
                let value = sink.read_value(reader)?;
                sink.cell(row, self.name, value)
            }
        }
    }

    fn object(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>, row: u32) -> Result<()> {
        let length = self.name.len();
        let mut first = reader.object()?;
        while let Some(key) = reader.next_key(&mut first)? {
            sink.check_name(length + key.len())?;
            if length > 0 {
                self.name.push('.');
            }
            self.name.push_str(&key);
            self.value(reader, sink, row)?;
            self.name.truncate(length);
        }
        Ok(())
    }

    fn array(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>, row: u32) -> Result<()> {
        let length = self.name.len();
        let mut first = reader.array()?;
        let mut index = 0;
        while reader.next_element(&mut first)? {
            if index < self.array_cells {
                sink.check_name(length + 1)?;
                push_index(self.name, ".", index);
                self.value(reader, sink, row)?;
                self.name.truncate(length);
            } else {
                sink.skip_value(reader)?;
            }
            index += 1;
        }
        Ok(())
    }

    /// A list that is a row: its elements are columns.
    fn list(&mut self, reader: &mut Reader<'_>, sink: &mut Sink<'_>, row: u32) -> Result<()> {
        let mut first = reader.array()?;
        let mut index = 0;
        while reader.next_element(&mut first)? {
            self.name.clear();
            self.column(index);
            self.value(reader, sink, row)?;
            index += 1;
        }
        Ok(())
    }

    fn column(&mut self, index: usize) {
        match self.columns.get(index) {
            Some(name) => self.name.push_str(name),
            None => push_index(self.name, "f", index),
        }
    }
}

/// Appends `separator` and a number.
pub(crate) fn push_index(name: &mut String, separator: &str, index: usize) {
    name.push_str(separator);
    if index < 10 {
        name.push(char::from(b'0' + index as u8));
        return;
    }
    let written = write!(name, "{index}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}
