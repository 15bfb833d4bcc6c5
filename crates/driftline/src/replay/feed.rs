//! The file's side: a thread that reads rows and makes bodies of them, a bounded number ahead of the senders.

use anyhow::bail;
use bytes::Bytes;
use tabular::{Cell, Row, Schema, Table};
use tokio::sync::mpsc;

use super::ReplayArgs;
use super::body::{BodyWriter, Protocol};

/// One request, ready to go.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) body: Bytes,
    pub(super) tenant: Option<String>,
}

/// Which rows and columns are sent, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    protocol: Protocol,
    model: String,
    exclude: Vec<String>,
    /// Index and name of the column that names the tenant.
    tenant_column: Option<(usize, String)>,
    batch: usize,
    /// Rows of a pass.
    limit: u64,
    repeat: bool,
    n_rows: u64,
}

impl Plan {
    /// Checks the arguments against the file's columns.
    pub(super) fn new(args: &ReplayArgs, schema: &Schema) -> anyhow::Result<Self> {
        if !args.protocol.takes_batches() && args.batch > 1 {
            bail!(
                "this protocol sends one row per request; leave `--batch` out or use kserve-v2 or kserve-v1"
            );
        }
        for name in args.exclude.iter().chain(&args.tenant_column) {
            if schema.position(name).is_none() {
                let known: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
                bail!("`{}` has no column `{name}`; it has: {}", args.file.display(), known.join(", "));
            }
        }
        let tenant_column = args.tenant_column.as_ref();
        let tenant_column = tenant_column.and_then(|name| Some((schema.position(name)?, name.clone())));
        let plan = Self {
            protocol: args.protocol,
            model: args.model.clone(),
            exclude: args.exclude.clone(),
            tenant_column,
            batch: args.batch,
            limit: args.limit.unwrap_or(u64::MAX),
            repeat: args.repeat,
            n_rows: schema.n_rows,
        };
        if plan.writer(schema).n_columns() == 0 {
            bail!("no column is left to send; take something out of `--exclude`");
        }
        Ok(plan)
    }

    /// Requests of a pass, as far as that is known: batches that end early because the tenant changes are not.
    pub(super) fn requests(&self) -> Option<u64> {
        let known = !self.repeat && (self.batch == 1 || self.tenant_column.is_none());
        known.then(|| self.limit.min(self.n_rows).div_ceil(self.batch as u64))
    }

    fn writer(&self, schema: &Schema) -> BodyWriter {
        let tenant = self.tenant_column.as_ref().map(|(_, name)| name);
        BodyWriter::new(self.protocol, schema, |name| {
            tenant.is_none_or(|tenant| tenant != name)
                && !self.exclude.iter().any(|excluded| excluded == name)
        })
        .for_model(&self.model)
    }

    fn tenant(&self, row: &Row<'_>) -> Option<String> {
        let (index, _) = self.tenant_column.as_ref()?;
        match row.get(*index)? {
            Cell::Missing => None,
            Cell::Text(text) => Some(text.to_owned()),
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Number(number) => Some(tabular::format_number(number)),
            Cell::Boolean(value) => Some(value.to_string()),
        }
    }
}

/// Reads the file and offers bodies until it ends or nobody wants more. Returns how many infinities became texts.
pub(super) fn feed(
    mut table: Table,
    plan: &Plan,
    out: &mpsc::Sender<Prepared>,
) -> Result<u64, tabular::Error> {
    let mut writer = plan.writer(table.schema()?);
    loop {
        let wanted = pass(&mut table, plan, &mut writer, out)?;
        if !wanted || !plan.repeat {
            return Ok(writer.infinities());
        }
    }
}

/// One pass over the file; `false` when nobody wants more.
fn pass(
    table: &mut Table,
    plan: &Plan,
    writer: &mut BodyWriter,
    out: &mpsc::Sender<Prepared>,
) -> Result<bool, tabular::Error> {
    let mut rows = table.rows()?;
    let mut tenant: Option<String> = None;
    let send = |writer: &mut BodyWriter, tenant: Option<String>| {
        writer.rows() == 0 || out.blocking_send(Prepared { body: writer.take(), tenant }).is_ok()
    };
    let mut left = plan.limit;
    while left > 0 {
        let Some(row) = rows.next_row()? else { break };
        left -= 1;
        let next = plan.tenant(&row);
        // A request has one tenant: a batch ends where another begins.
        if next != tenant && !send(writer, tenant.take()) {
            return Ok(false);
        }
        tenant = next;
        writer.push(&row);
        if writer.rows() == plan.batch && !send(writer, tenant.clone()) {
            return Ok(false);
        }
    }
    Ok(send(writer, tenant))
}
