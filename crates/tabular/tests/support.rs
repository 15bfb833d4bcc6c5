//! Files to read, and tables as plain values to compare.

use std::io::Write;

use tabular::{Cell, Error, Table};

/// A table opened from bytes, as if they came from a file of this name.
pub(crate) fn open(name: &str, bytes: &[u8]) -> Result<Table, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    // The open handle outlives the folder.
    Table::open(&path)
}

/// An owned cell that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Text(String),
    Missing,
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Number(value) => Self::Number(value),
            Cell::Integer(value) => Self::Integer(value),
            Cell::Boolean(value) => Self::Boolean(value),
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Missing => Self::Missing,
        }
    }
}

/// Names, kinds and all rows.
pub(crate) fn content(table: &mut Table) -> Result<(Vec<String>, Vec<Vec<Value>>), Error> {
    let columns = &table.schema()?.columns;
    let header = columns.iter().map(|c| format!("{}:{:?}", c.name, c.kind)).collect();
    let mut rows = table.rows()?;
    let mut out = Vec::new();
    while let Some(row) = rows.next_row()? {
        out.push(row.iter().map(|(_, cell)| Value::from(cell)).collect());
    }
    Ok((header, out))
}

/// The message of the error that reading the bytes to the end gives, the temporary folder cut off.
pub(crate) fn refusal(name: &str, bytes: &[u8]) -> String {
    let error = match open(name, bytes) {
        Err(error) => error,
        Ok(mut table) => match content(&mut table) {
            Err(error) => error,
            Ok(content) => panic!("not refused: {content:?}"),
        },
    };
    let text = error.to_string();
    let path = text.split('`').nth(1).unwrap_or_default();
    text.replace(path, name)
}

/// A Parquet file: a schema in Parquet's own notation, and one call per column and row group to write its values.
pub(crate) fn parquet(schema: &str, groups: &[&[Cells]]) -> Vec<u8> {
    use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let mut bytes = Vec::new();
    let properties = std::sync::Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(&mut bytes, std::sync::Arc::new(schema), properties).unwrap();
    for columns in groups {
        let mut group = file.next_row_group().unwrap();
        for cells in *columns {
            let mut writer = group.next_column().unwrap().unwrap();
            cells.write(&mut writer);
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

/// Values of one Parquet column; `None` is a null.
pub(crate) enum Cells {
    Bools(Vec<Option<bool>>),
    Int32s(Vec<Option<i32>>),
    Int64s(Vec<Option<i64>>),
    Int96s(Vec<Option<[u32; 3]>>),
    Floats(Vec<Option<f32>>),
    Doubles(Vec<Option<f64>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Fixed(Vec<Option<Vec<u8>>>),
    /// Definition levels of nested 32-bit integers, and the values.
    Levels(Vec<i16>, Vec<i32>),
    /// Definition and repetition levels of a list of 32-bit integers, and its values.
    Lists(Vec<i16>, Vec<i16>, Vec<i32>),
}

impl Cells {
    pub(crate) fn texts(values: &[Option<&str>]) -> Self {
        Self::Bytes(values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect())
    }

    fn write(&self, writer: &mut parquet::file::writer::SerializedColumnWriter<'_>) {
        use parquet::data_type as p;
        match self {
            Self::Bools(values) => write::<p::BoolType>(writer, values.iter().copied()),
            Self::Int32s(values) => write::<p::Int32Type>(writer, values.iter().copied()),
            Self::Int64s(values) => write::<p::Int64Type>(writer, values.iter().copied()),
            Self::Int96s(values) => write::<p::Int96Type>(
                writer,
                values.iter().map(|value| value.map(|words| p::Int96::from(words.to_vec()))),
            ),
            Self::Floats(values) => write::<p::FloatType>(writer, values.iter().copied()),
            Self::Doubles(values) => write::<p::DoubleType>(writer, values.iter().copied()),
            Self::Bytes(values) => {
                write::<p::ByteArrayType>(
                    writer,
                    values.iter().map(|value| value.clone().map(p::ByteArray::from)),
                );
            }
            Self::Fixed(values) => write::<p::FixedLenByteArrayType>(
                writer,
                values.iter().map(|value| value.clone().map(|bytes| p::ByteArray::from(bytes).into())),
            ),
            Self::Levels(definitions, values) => {
                let typed = writer.typed::<p::Int32Type>();
                typed.write_batch(values, Some(definitions), None).unwrap();
            }
            Self::Lists(definitions, repetitions, values) => {
                let typed = writer.typed::<p::Int32Type>();
                typed.write_batch(values, Some(definitions), Some(repetitions)).unwrap();
            }
        }
    }
}

/// Writes a column; whether it is optional shows in its writer's levels, required ones ignore them.
fn write<T: parquet::data_type::DataType>(
    writer: &mut parquet::file::writer::SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>> + Clone,
) {
    let levels: Vec<i16> = values.clone().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.flatten().collect();
    writer.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
}
