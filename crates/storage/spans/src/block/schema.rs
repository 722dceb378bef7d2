//! The columns of a block.
//!
//! They have the names that the ClickHouse exporter of OpenTelemetry uses, so that queries written for it need
//! little change:
//!
//! | column | what |
//! |---|---|
//! | `Timestamp` | when the span began, nanoseconds, UTC |
//! | `TraceId`, `SpanId` | 16 and 8 bytes, big-endian (`hex(TraceId)`) |
//! | `ParentSpanId` | where the parent is not in this block |
//! | `ParentRowsBack` | where it is: its row is this row's number minus this one |
//! | `TraceState`, `TraceFlags` | as the sender gave them; none for empty and 0 |
//! | `SpanName`, `SpanKind` | `Internal`, `Server`, `Client`, `Producer`, `Consumer` |
//! | `ServiceName` | of the resource |
//! | `ResourceAttributes` | JSON, with types |
//! | `ScopeName`, `ScopeVersion` | |
//! | `Duration` | nanoseconds |
//! | `StatusCode`, `StatusMessage` | `Unset`, `Ok`, `Error` |
//! | `Events`, `Links` | JSON, none where there are none |
//! | `DroppedAttributes`, `DroppedEvents`, `DroppedLinks` | what the sender left out; none for 0 |
//! | `SpanAttributes` | JSON, with types: those that have no column of their own |
//! | `SpanAttributes.KEY` | a frequent key, of the type that most of its values have |
//! | `ScopeAttributes` | JSON, with types; there only where a library of the block has any |
//!
//! Rows are sorted by trace id, then by start. One query gives every span its parent:
//!
//! ```sql
//! WITH s AS (SELECT *, file_row_number AS row FROM read_parquet('000000000007.parquet', file_row_number = true))
//! SELECT hex(s.SpanId), hex(coalesce(s.ParentSpanId, p.SpanId)) AS parent
//! FROM s LEFT JOIN s AS p ON p.row = s.row - s.ParentRowsBack;
//! ```

use std::sync::Arc;

use parquet::{
    basic::{
        Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
    },
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion},
    schema::types::{ColumnPath, Type},
};

use crate::names::KeyType;

/// The columns that every block has, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    ParentRowsBack,
    TraceState,
    TraceFlags,
    SpanName,
    SpanKind,
    ServiceName,
    ResourceAttributes,
    ScopeName,
    ScopeVersion,
    Duration,
    StatusCode,
    StatusMessage,
    Events,
    Links,
    DroppedAttributes,
    DroppedEvents,
    DroppedLinks,
    SpanAttributes,
}

impl Column {
    pub(crate) const ALL: [Column; 22] = [
        Column::Timestamp,
        Column::TraceId,
        Column::SpanId,
        Column::ParentSpanId,
        Column::ParentRowsBack,
        Column::TraceState,
        Column::TraceFlags,
        Column::SpanName,
        Column::SpanKind,
        Column::ServiceName,
        Column::ResourceAttributes,
        Column::ScopeName,
        Column::ScopeVersion,
        Column::Duration,
        Column::StatusCode,
        Column::StatusMessage,
        Column::Events,
        Column::Links,
        Column::DroppedAttributes,
        Column::DroppedEvents,
        Column::DroppedLinks,
        Column::SpanAttributes,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Column::Timestamp => "Timestamp",
            Column::TraceId => "TraceId",
            Column::SpanId => "SpanId",
            Column::ParentSpanId => "ParentSpanId",
            Column::ParentRowsBack => "ParentRowsBack",
            Column::TraceState => "TraceState",
            Column::TraceFlags => "TraceFlags",
            Column::SpanName => "SpanName",
            Column::SpanKind => "SpanKind",
            Column::ServiceName => "ServiceName",
            Column::ResourceAttributes => "ResourceAttributes",
            Column::ScopeName => "ScopeName",
            Column::ScopeVersion => "ScopeVersion",
            Column::Duration => "Duration",
            Column::StatusCode => "StatusCode",
            Column::StatusMessage => "StatusMessage",
            Column::Events => "Events",
            Column::Links => "Links",
            Column::DroppedAttributes => "DroppedAttributes",
            Column::DroppedEvents => "DroppedEvents",
            Column::DroppedLinks => "DroppedLinks",
            Column::SpanAttributes => "SpanAttributes",
        }
    }

    const fn is_optional(self) -> bool {
        !matches!(
            self,
            Column::Timestamp
                | Column::TraceId
                | Column::SpanId
                | Column::SpanName
                | Column::SpanKind
                | Column::ServiceName
                | Column::ResourceAttributes
                | Column::ScopeName
                | Column::ScopeVersion
                | Column::Duration
                | Column::StatusCode
        )
    }
}

/// What the names of columns for single keys begin with.
pub(crate) const KEY_PREFIX: &str = "SpanAttributes.";

/// The last column of a block in which a library has attributes, which nearly none has.
pub(crate) const SCOPE_ATTRIBUTES: &str = "ScopeAttributes";

/// Rows of a page: as many as a trace's lookup decodes too many of in each column.
pub(crate) const PAGE_ROWS: usize = 4_096;

/// Beyond this a dictionary is given up: it is read whole for a single row, and ids in texts gain nothing by it.
const DICTIONARY_BYTES: usize = 64 << 10;

/// The schema of a block with columns for these keys, and for attributes of scopes or not.
pub(crate) fn schema(keys: &[(String, KeyType)], of_scopes: bool) -> Result<Arc<Type>, ParquetError> {
    let mut fields = Vec::new();
    for column in Column::ALL {
        fields.push(Arc::new(base(column)?));
    }
    for (key, kind) in keys {
        let name = format!("{KEY_PREFIX}{key}");
        let field =
            Type::primitive_type_builder(&name, physical(*kind)).with_repetition(Repetition::OPTIONAL);
        let field = match kind {
            KeyType::Text | KeyType::Other => {
                field.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8)
            }
            _ => field,
        };
        fields.push(Arc::new(field.build()?));
    }
    if of_scopes {
        let field = Type::primitive_type_builder(SCOPE_ATTRIBUTES, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::Json))
            .with_converted_type(ConvertedType::JSON);
        fields.push(Arc::new(field.build()?));
    }
    Ok(Arc::new(Type::group_type_builder("span").with_fields(fields).build()?))
}

fn physical(kind: KeyType) -> Physical {
    match kind {
        KeyType::Bool => Physical::BOOLEAN,
        KeyType::Int => Physical::INT64,
        KeyType::Double => Physical::DOUBLE,
        KeyType::Text | KeyType::Other => Physical::BYTE_ARRAY,
    }
}

fn base(column: Column) -> Result<Type, ParquetError> {
    let repetition = if column.is_optional() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let of = |physical| Type::primitive_type_builder(column.name(), physical).with_repetition(repetition);
    let unsigned = |physical, bits| {
        let kind = LogicalType::integer(bits, false);
        let converted = if bits == 64 { ConvertedType::UINT_64 } else { ConvertedType::UINT_32 };
        of(physical).with_logical_type(Some(kind)).with_converted_type(converted)
    };
    match column {
        Column::Timestamp => {
            of(Physical::INT64).with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::NANOS)))
        }
        Column::Duration => unsigned(Physical::INT64, 64),
        Column::TraceId => of(Physical::FIXED_LEN_BYTE_ARRAY).with_length(16),
        Column::SpanId | Column::ParentSpanId => of(Physical::FIXED_LEN_BYTE_ARRAY).with_length(8),
        Column::ParentRowsBack => of(Physical::INT32),
        Column::TraceFlags | Column::DroppedAttributes | Column::DroppedEvents | Column::DroppedLinks => {
            unsigned(Physical::INT32, 32)
        }
        Column::ResourceAttributes | Column::SpanAttributes | Column::Events | Column::Links => {
            of(Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::Json))
                .with_converted_type(ConvertedType::JSON)
        }
        _ => of(Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8),
    }
    .build()
}

/// How the columns are written.
pub(crate) fn properties(keys: &[(String, KeyType)]) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("bellwether ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(None)
        .set_write_batch_size(PAGE_ROWS)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::None);
    for (column, encoding) in [
        (Column::Timestamp, Encoding::BYTE_STREAM_SPLIT),
        (Column::TraceId, Encoding::DELTA_BYTE_ARRAY),
        (Column::SpanId, Encoding::PLAIN),
        (Column::ParentSpanId, Encoding::PLAIN),
        (Column::Duration, Encoding::DELTA_BINARY_PACKED),
        (Column::SpanAttributes, Encoding::PLAIN),
    ] {
        properties = properties
            .set_column_dictionary_enabled(path(column.name()), false)
            .set_column_encoding(path(column.name()), encoding);
    }
    // Ids are random: there is nothing to compress in them.
    for column in [Column::SpanId, Column::ParentSpanId] {
        properties = properties.set_column_compression(path(column.name()), Compression::UNCOMPRESSED);
    }
    for column in [Column::Timestamp, Column::Duration, Column::TraceId, Column::ServiceName] {
        properties = with_statistics(properties, column);
    }
    for (key, kind) in keys {
        let path = path(&format!("{KEY_PREFIX}{key}"));
        // They say how many rows have the key.
        properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        if *kind == KeyType::Double {
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(properties.build())
}

fn with_statistics(properties: WriterPropertiesBuilder, column: Column) -> WriterPropertiesBuilder {
    properties.set_column_statistics_enabled(path(column.name()), EnabledStatistics::Page)
}

/// The path of a column, whose name may have dots.
fn path(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}
