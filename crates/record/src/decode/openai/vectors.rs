//! Embeddings: how many, how long, and how large.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::reader::{Kind, Reader, Scalar};
use super::{elements, members};

type Result<T> = std::result::Result<T, super::DecodeError>;

/// The embeddings of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vectors {
    /// How many.
    pub(super) count: u64,
    /// Numbers of the first.
    pub(super) dimensions: Option<u64>,
    norms: f64,
    with_norm: u64,
}

impl Vectors {
    /// Takes the `data` of an answer; `None` when it is no array.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let mut vectors = Self::default();
        let count = elements(reader, |_, reader| {
            let mut vector = None;
            members(reader, |key, reader| {
                if key == "embedding" {
                    vector = one(reader)?;
                    return Ok(());
                }
                Ok(reader.skip_value()?)
            })?;
            if let Some((dimensions, squares)) = vector {
                vectors.dimensions.get_or_insert(dimensions);
                vectors.norms += squares.sqrt();
                vectors.with_norm += 1;
            }
            Ok(())
        })?;
        Ok(count.map(|count| Self { count, ..vectors }))
    }

    /// The mean of the Euclidean norms; finite, or `None`.
    pub(super) fn norm(&self) -> Option<f64> {
        (self.with_norm > 0).then(|| self.norms / self.with_norm as f64).filter(|norm| norm.is_finite())
    }
}

/// Length and sum of squares of an embedding: numbers, or base64 of little-endian floats of four bytes. Anything else
/// is none.
fn one(reader: &mut Reader<'_>) -> Result<Option<(u64, f64)>> {
    match reader.kind()? {
        Kind::String => {
            let text = reader.string()?.resolved();
            let Ok(bytes) = STANDARD.decode(text.as_bytes()) else { return Ok(None) };
            let (floats, rest) = bytes.as_chunks::<4>();
            let squares = floats.iter().map(|float| f64::from(f32::from_le_bytes(*float)).powi(2)).sum();
            Ok((rest.is_empty() && !floats.is_empty()).then_some((floats.len() as u64, squares)))
        }
        Kind::Array => {
            let (mut squares, mut only_numbers) = (0.0, true);
            let count = elements(reader, |_, reader| {
                if reader.kind()? != Kind::Number {
                    only_numbers = false;
                    return Ok(reader.skip_value()?);
                }
                if let Scalar::Number(number) = reader.scalar()? {
                    squares += number.value * number.value;
                }
                Ok(())
            })?;
            Ok(count.filter(|count| only_numbers && *count > 0).map(|count| (count, squares)))
        }
        _ => {
            reader.skip_value()?;
            Ok(None)
        }
    }
}
