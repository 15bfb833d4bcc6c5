//! Rows as request bodies.
//!
//! Written by hand and not through a JSON tree, so that numbers go out as the file had them: 7 stays 7, and a column
//! with fractions writes 7.0. What is missing is `null`. JSON has no infinity: it becomes the text "Infinity", which the
//! monitor reads as missing, and is counted. CSV has both: an empty field and `inf`.

use bytes::Bytes;
use clap::ValueEnum;
use tabular::{Cell, ColumnKind, Row, Schema};

use super::protobuf;

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// `inputs`: a tensor per column (Open Inference Protocol)
    KserveV2,
    /// The same over gRPC (HTTP/2), a row per request
    KserveV2Grpc,
    /// `instances`: an object per row
    KserveV1,
    /// SageMaker: a line of CSV per row, without names
    SagemakerCsv,
    /// SageMaker: a line of JSON per row
    SagemakerJsonlines,
    /// Vertex AI: `instances`, an object per row
    Vertex,
    /// One flat object per request
    Json,
}

impl Protocol {
    /// The path of a URL that has none.
    pub(crate) fn default_path(self, model: &str) -> String {
        match self {
            Self::KserveV2 => format!("/v2/models/{model}/infer"),
            Self::KserveV2Grpc => "/inference.GRPCInferenceService/ModelInfer".to_owned(),
            Self::KserveV1 => format!("/v1/models/{model}:predict"),
            Self::SagemakerCsv | Self::SagemakerJsonlines => "/invocations".to_owned(),
            Self::Vertex => format!("/v1/projects/default/locations/default/endpoints/{model}:predict"),
            Self::Json => "/".to_owned(),
        }
    }

    /// What bodies are.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::KserveV2 | Self::KserveV1 | Self::Vertex | Self::Json => "application/json",
            Self::KserveV2Grpc => "application/grpc",
            Self::SagemakerCsv => "text/csv",
            Self::SagemakerJsonlines => "application/jsonlines",
        }
    }

    /// Whether a request may have several rows.
    pub(crate) const fn takes_batches(self) -> bool {
        !matches!(self, Self::Json | Self::KserveV2Grpc)
    }

    /// What stands between two rows.
    const fn separator(self) -> &'static [u8] {
        match self {
            Self::KserveV1 | Self::Vertex => b",",
            Self::SagemakerCsv | Self::SagemakerJsonlines => b"\n",
            Self::KserveV2 | Self::KserveV2Grpc | Self::Json => b"",
        }
    }
}

/// A column that is sent.
#[derive(Debug)]
struct SentColumn {
    /// Index in the file's schema.
    index: usize,
    name: String,
    /// The name as JSON text.
    quoted: String,
    kind: ColumnKind,
    /// KServe v2: the values so far, separated by commas.
    data: Vec<u8>,
}

/// Collects rows and writes them as one body.
#[derive(Debug)]
pub(crate) struct BodyWriter {
    protocol: Protocol,
    columns: Vec<SentColumn>,
    /// The other protocols: the rows so far.
    objects: Vec<u8>,
    model: String,
    rows: usize,
    infinities: u64,
}

impl BodyWriter {
    /// For the columns of `schema` that `is_sent` accepts by name.
    pub(crate) fn new(protocol: Protocol, schema: &Schema, is_sent: impl Fn(&str) -> bool) -> Self {
        let columns = schema.columns.iter().enumerate().filter(|(_, column)| is_sent(&column.name));
        let columns = columns.map(|(index, column)| SentColumn {
            index,
            quoted: quoted(&column.name),
            name: column.name.clone(),
            kind: column.kind,
            data: Vec::new(),
        });
        let (columns, model) = (columns.collect(), "default".to_owned());
        Self { protocol, columns, objects: Vec::new(), model, rows: 0, infinities: 0 }
    }

    /// Names the model where the body does.
    pub(crate) fn for_model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// Columns that are sent.
    pub(crate) fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// Rows since the last [`Self::take`].
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Infinite numbers that became texts, since the start.
    pub(crate) fn infinities(&self) -> u64 {
        self.infinities
    }

    /// Adds a row of the schema that the writer was made for.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        if self.rows > 0 {
            self.objects.extend_from_slice(self.protocol.separator());
        }
        match self.protocol {
            Protocol::KserveV2 => self.push_columns(row),
            Protocol::KserveV2Grpc => self.push_tensors(row),
            Protocol::SagemakerCsv => self.push_line(row),
            Protocol::KserveV1 | Protocol::SagemakerJsonlines | Protocol::Vertex | Protocol::Json => {
                self.push_object(row);
            }
        }
        self.rows += 1;
    }

    fn push_columns(&mut self, row: &Row<'_>) {
        for column in &mut self.columns {
            if self.rows > 0 {
                column.data.push(b',');
            }
            let cell = row.get(column.index).unwrap_or(Cell::Missing);
            self.infinities += write_cell(&mut column.data, cell, column.kind);
        }
    }

    fn push_tensors(&mut self, row: &Row<'_>) {
        for column in &self.columns {
            let cell = row.get(column.index).unwrap_or(Cell::Missing);
            protobuf::push_tensor(&mut self.objects, &column.name, cell, column.kind);
        }
    }

    fn push_line(&mut self, row: &Row<'_>) {
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                self.objects.push(b',');
            }
            write_field(&mut self.objects, row.get(column.index).unwrap_or(Cell::Missing));
        }
    }

    fn push_object(&mut self, row: &Row<'_>) {
        self.objects.push(b'{');
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                self.objects.push(b',');
            }
            self.objects.extend_from_slice(column.quoted.as_bytes());
            self.objects.push(b':');
            let cell = row.get(column.index).unwrap_or(Cell::Missing);
            self.infinities += write_cell(&mut self.objects, cell, column.kind);
        }
        self.objects.push(b'}');
    }

    /// The body of the rows so far; begins anew.
    pub(crate) fn take(&mut self) -> Bytes {
        let rows = std::mem::take(&mut self.rows);
        match self.protocol {
            Protocol::KserveV2 => self.take_tensors(rows),
            Protocol::KserveV2Grpc => {
                let tensors = std::mem::take(&mut self.objects);
                protobuf::request(&self.model, &tensors)
            }
            Protocol::KserveV1 | Protocol::Vertex => {
                let objects = std::mem::take(&mut self.objects);
                Bytes::from([b"{\"instances\":[".as_slice(), &objects, b"]}"].concat())
            }
            Protocol::SagemakerCsv | Protocol::SagemakerJsonlines | Protocol::Json => {
                Bytes::from(std::mem::take(&mut self.objects))
            }
        }
    }

    fn take_tensors(&mut self, rows: usize) -> Bytes {
        let mut body = b"{\"inputs\":[".to_vec();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let (name, datatype) = (&column.quoted, datatype(column.kind));
            let head =
                format!("{comma}{{\"name\":{name},\"shape\":[{rows}],\"datatype\":\"{datatype}\",\"data\":[");
            body.extend_from_slice(head.as_bytes());
            body.append(&mut column.data);
            body.extend_from_slice(b"]}");
        }
        body.extend_from_slice(b"]}");
        Bytes::from(body)
    }
}

/// The datatype of a tensor; a column without any value is a text column without any value.
fn datatype(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Integer => "INT64",
        ColumnKind::Number => "FP64",
        ColumnKind::Boolean => "BOOL",
        ColumnKind::Text | ColumnKind::Empty => "BYTES",
    }
}

/// Writes a cell as JSON; returns 1 for an infinity that became a text, else 0.
fn write_cell(out: &mut Vec<u8>, cell: Cell<'_>, kind: ColumnKind) -> u64 {
    let text = match cell {
        Cell::Integer(value) => value.to_string(),
        // An integer beyond 64 bits.
        Cell::Number(value) if kind == ColumnKind::Integer && value.is_finite() => {
            tabular::format_number(value)
        }
        Cell::Number(value) => match serde_json::Number::from_f64(value) {
            Some(number) => number.to_string(),
            None => {
                let text: &[u8] = if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" };
                out.extend_from_slice(text);
                return 1;
            }
        },
        Cell::Boolean(value) => value.to_string(),
        Cell::Text(text) => quoted(text),
        Cell::Missing => "null".to_owned(),
    };
    out.extend_from_slice(text.as_bytes());
    0
}

/// Writes a cell as a field of CSV.
fn write_field(out: &mut Vec<u8>, cell: Cell<'_>) {
    let text = match cell {
        Cell::Integer(value) => value.to_string(),
        Cell::Number(value) => tabular::format_number(value),
        Cell::Boolean(value) => value.to_string(),
        Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Cell::Text(text) => text.to_owned(),
        Cell::Missing => String::new(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabular::Table;

    const CSV: &str = "id,amount,n,ok,who\n1,12.5,7,true,Zoë \"Z\"\n2,3,,false,\n3,inf,-1,,x\n";

    fn bodies(protocol: Protocol, batch: usize) -> (Vec<String>, u64) {
        let mut table = Table::from_reader("t.csv", &mut CSV.as_bytes()).unwrap();
        let mut writer = BodyWriter::new(protocol, table.schema().unwrap(), |name| name != "id");
        let mut rows = table.rows().unwrap();
        let mut bodies = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            writer.push(&row);
            if writer.rows() == batch {
                bodies.push(String::from_utf8(writer.take().to_vec()).unwrap());
            }
        }
        (bodies, writer.infinities())
    }

    #[test]
    fn kserve_v2_has_a_tensor_per_column() {
        let (bodies, infinities) = bodies(Protocol::KserveV2, 3);
        insta::assert_snapshot!(bodies.join("\n"), @r#"{"inputs":[{"name":"amount","shape":[3],"datatype":"FP64","data":[12.5,3.0,"Infinity"]},{"name":"n","shape":[3],"datatype":"INT64","data":[7,null,-1]},{"name":"ok","shape":[3],"datatype":"BOOL","data":[true,false,null]},{"name":"who","shape":[3],"datatype":"BYTES","data":["Zoë \"Z\"",null,"x"]}]}"#);
        assert_eq!(infinities, 1);
    }

    #[test]
    fn kserve_v1_has_an_object_per_row() {
        insta::assert_snapshot!(bodies(Protocol::KserveV1, 3).0.join("\n"), @r#"{"instances":[{"amount":12.5,"n":7,"ok":true,"who":"Zoë \"Z\""},{"amount":3.0,"n":null,"ok":false,"who":null},{"amount":"Infinity","n":-1,"ok":null,"who":"x"}]}"#);
    }

    #[test]
    fn json_is_one_flat_object() {
        let (bodies, _) = bodies(Protocol::Json, 1);
        insta::assert_snapshot!(bodies.join("\n"), @r#"
        {"amount":12.5,"n":7,"ok":true,"who":"Zoë \"Z\""}
        {"amount":3.0,"n":null,"ok":false,"who":null}
        {"amount":"Infinity","n":-1,"ok":null,"who":"x"}
        "#);
    }

    #[test]
    fn sagemaker_has_a_line_per_row_and_vertex_instances() {
        insta::assert_snapshot!(bodies(Protocol::SagemakerCsv, 3).0.join("\n"), @r#"
        12.5,7,true,"Zoë ""Z"""
        3,,false,
        inf,-1,,x
        "#);
        insta::assert_snapshot!(bodies(Protocol::SagemakerJsonlines, 3).0.join("\n"), @r#"
        {"amount":12.5,"n":7,"ok":true,"who":"Zoë \"Z\""}
        {"amount":3.0,"n":null,"ok":false,"who":null}
        {"amount":"Infinity","n":-1,"ok":null,"who":"x"}
        "#);
        insta::assert_snapshot!(bodies(Protocol::Vertex, 1).0.join("\n"), @r#"
        {"instances":[{"amount":12.5,"n":7,"ok":true,"who":"Zoë \"Z\""}]}
        {"instances":[{"amount":3.0,"n":null,"ok":false,"who":null}]}
        {"instances":[{"amount":"Infinity","n":-1,"ok":null,"who":"x"}]}
        "#);
    }

    /// Read again by the decoder, with the names and values of the JSON form.
    #[test]
    fn a_row_over_grpc_is_the_same_row() {
        let mut table = Table::from_reader("t.csv", &mut CSV.as_bytes()).unwrap();
        let schema = table.schema().unwrap();
        let mut grpc = BodyWriter::new(Protocol::KserveV2Grpc, schema, |_| true).for_model("fraud");
        let mut json = BodyWriter::new(Protocol::Json, schema, |_| true);
        let mut rows = table.rows().unwrap();
        let cells = |path: &str, body: &Bytes| {
            let mut into = record::Decoded::new();
            record::Decoder::default().decode_request(path.as_bytes(), body, &mut into).unwrap();
            let cells = into.features().filter(|cell| cell.value != record::Cell::Missing);
            cells.map(|cell| format!("{} {:?}", cell.name, cell.value)).collect::<Vec<_>>()
        };
        while let Some(row) = rows.next_row().unwrap() {
            grpc.push(&row);
            json.push(&row);
            let body = grpc.take();
            assert!(body.windows(5).any(|part| part == b"fraud"));
            // An infinity is a number there, which is missing, and a text here, which the monitor takes as missing.
            let mut json = cells("/", &json.take());
            json.retain(|cell| !cell.contains("Infinity"));
            assert_eq!(cells(&Protocol::KserveV2Grpc.default_path(""), &body), json);
        }
    }

    #[test]
    fn every_body_is_json_and_begins_anew() {
        for protocol in [Protocol::KserveV2, Protocol::KserveV1, Protocol::Json] {
            let (bodies, _) = bodies(protocol, 1);
            assert_eq!(bodies.len(), 3);
            for body in &bodies {
                serde_json::from_str::<serde_json::Value>(body).unwrap();
            }
            assert_ne!(bodies[0], bodies[1]);
        }
    }
}
