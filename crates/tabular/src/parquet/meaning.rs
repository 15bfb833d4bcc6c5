//! What the values of a Parquet column stand for: its physical type seen through its logical or converted type.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::schema::types::ColumnDescriptor;

use crate::schema::ColumnKind;

/// How to read a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Physical BOOLEAN.
    Boolean,
    /// INT32, INT64: signed.
    Integer,
    /// INT32, INT64: unsigned.
    Unsigned,
    /// FLOAT, DOUBLE.
    Float,
    /// FIXED_LEN_BYTE_ARRAY(2).
    Float16,
    /// INT32, INT64 or big-endian bytes: an integer divided by 10 to the power of this.
    Decimal(i32),
    /// INT32: days since 1970-01-01.
    Date,
    /// INT32, INT64: since midnight.
    Time(Unit),
    /// INT64: since 1970-01-01T00:00:00, of UTC or of no stated zone.
    Timestamp { unit: Unit, utc: bool },
    /// INT96: Julian day and nanoseconds, of no stated zone.
    Int96,
    /// Bytes that must be UTF-8.
    Text,
    /// Bytes of no stated meaning: text if they are UTF-8, else hexadecimal.
    Bytes,
    /// 16 bytes.
    Uuid,
    /// Declared to hold no value.
    Nothing,
}

/// Resolution of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub(super) fn nanos(self) -> i128 {
        match self {
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }
}

impl From<&TimeUnit> for Unit {
    fn from(unit: &TimeUnit) -> Self {
        match unit {
            TimeUnit::MILLIS => Self::Millis,
            TimeUnit::MICROS => Self::Micros,
            TimeUnit::NANOS => Self::Nanos,
        }
    }
}

impl Meaning {
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        let logical = column.logical_type_ref().and_then(Self::of_logical);
        let meaning = logical.or_else(|| Self::of_converted(column));
        let physical = column.physical_type();
        meaning.filter(|meaning| meaning.fits(physical)).unwrap_or(match physical {
            Type::BOOLEAN => Self::Boolean,
            Type::INT32 | Type::INT64 => Self::Integer,
            Type::INT96 => Self::Int96,
            Type::FLOAT | Type::DOUBLE => Self::Float,
            Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => Self::Bytes,
        })
    }

    fn of_logical(logical: &LogicalType) -> Option<Self> {
        Some(match logical {
            LogicalType::String | LogicalType::Enum | LogicalType::Json => Self::Text,
            LogicalType::Decimal(decimal) => Self::Decimal(decimal.scale),
            LogicalType::Date => Self::Date,
            LogicalType::Time(time) => Self::Time(Unit::from(&time.unit)),
            LogicalType::Timestamp(stamp) => {
                Self::Timestamp { unit: Unit::from(&stamp.unit), utc: stamp.is_adjusted_to_u_t_c }
            }
            LogicalType::Integer(integer) if !integer.is_signed => Self::Unsigned,
            LogicalType::Integer(_) => Self::Integer,
            LogicalType::Uuid => Self::Uuid,
            LogicalType::Float16 => Self::Float16,
            LogicalType::Unknown => Self::Nothing,
            _ => return None,
        })
    }

    fn of_converted(column: &ColumnDescriptor) -> Option<Self> {
        Some(match column.converted_type() {
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Self::Text,
            ConvertedType::DECIMAL => Self::Decimal(column.type_scale()),
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIME_MILLIS => Self::Time(Unit::Millis),
            ConvertedType::TIME_MICROS => Self::Time(Unit::Micros),
            ConvertedType::TIMESTAMP_MILLIS => Self::Timestamp { unit: Unit::Millis, utc: true },
            ConvertedType::TIMESTAMP_MICROS => Self::Timestamp { unit: Unit::Micros, utc: true },
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Self::Unsigned,
            _ => return None,
        })
    }

    /// Whether the physical type can carry the meaning; a file that says otherwise is read by its physical type.
    fn fits(self, physical: Type) -> bool {
        let integer = matches!(physical, Type::INT32 | Type::INT64);
        let bytes = matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY);
        match self {
            Self::Boolean => physical == Type::BOOLEAN,
            Self::Integer | Self::Unsigned | Self::Time(_) => integer,
            Self::Date => physical == Type::INT32,
            Self::Timestamp { .. } => physical == Type::INT64,
            Self::Float => matches!(physical, Type::FLOAT | Type::DOUBLE),
            Self::Decimal(_) => integer || bytes,
            Self::Int96 => physical == Type::INT96,
            Self::Text | Self::Bytes => bytes,
            Self::Float16 | Self::Uuid => physical == Type::FIXED_LEN_BYTE_ARRAY,
            Self::Nothing => true,
        }
    }

    pub(super) fn kind(self) -> ColumnKind {
        match self {
            Self::Boolean => ColumnKind::Boolean,
            Self::Integer | Self::Unsigned => ColumnKind::Integer,
            Self::Float | Self::Float16 | Self::Decimal(_) => ColumnKind::Number,
            Self::Nothing => ColumnKind::Empty,
            Self::Date
            | Self::Time(_)
            | Self::Timestamp { .. }
            | Self::Int96
            | Self::Text
            | Self::Bytes
            | Self::Uuid => ColumnKind::Text,
        }
    }
}
