//! `invited backup FILE`.

use std::path::Path;

use super::{Failure, Outcome, print, progress};
use crate::config::{Config, Database};
use crate::store::Store;

pub(super) fn run(config: &Config, target: &Path) -> Outcome {
    let Database::Sqlite(source) = &config.database else {
        return Err(Failure::Usage(
            "the database is PostgreSQL; back it up with pg_dump, which also works while nodes run"
                .into(),
        ));
    };
    if !source.exists() {
        return Err(Failure::Failed(format!(
            "{}: there is no database yet",
            source.display()
        )));
    }
    let bar = progress::bar("Copying");
    Store::back_up_sqlite(source, target, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .map_err(|e| Failure::Failed(e.to_string()))?;
    bar.finish_and_clear();
    print(&format!(
        "{} is a copy of the database. Without {} old links cannot be shown; keep a copy of that elsewhere.",
        target.display(),
        config.seal_key_file().display()
    ))
}
