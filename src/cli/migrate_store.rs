//! `invited migrate-store FROM TO`.

use std::path::Path;

use super::{Failure, Outcome, print, progress};
use crate::error::Error;
use crate::secret::Secret;
use crate::store::{Place, PostgresAddress, Store};

pub(super) async fn run(from: &str, to: &str, ca_file: Option<&Path>) -> Outcome {
    let password = std::env::var("INVITED_DATABASE_PASSWORD")
        .ok()
        .map(Secret::new);
    let (from, to) = (
        place(from, password.as_ref(), ca_file)?,
        place(to, password.as_ref(), ca_file)?,
    );
    if let Place::Sqlite(path) = &from
        && !path.exists()
    {
        return Err(Failure::Usage(format!("{from} is not there")));
    }
    let bar = progress::bar("Moving");
    let moved = Store::move_all(&from, &to, |progress| {
        bar.set_message(progress.table);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })
    .await
    .map_err(|e| Failure::Failed(Error::from(e).chain()))?;
    bar.finish_and_clear();
    print(&format!(
        "{moved} rows are in {to} now; counts and sums agree.\nSet `database` in the configuration \
         accordingly and restart every node; link.key stays as it is. {from} was left as it was."
    ))
}

fn place(text: &str, password: Option<&Secret>, ca_file: Option<&Path>) -> Result<Place, Failure> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        return Ok(Place::Sqlite(path.into()));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return PostgresAddress::new(text, password.map(Secret::expose), ca_file)
            .map(Place::Postgres)
            .map_err(Failure::Usage);
    }
    Err(Failure::Usage(
        "write sqlite:/var/lib/invited/invited.sqlite or postgres://USER@HOST/NAME".into(),
    ))
}
