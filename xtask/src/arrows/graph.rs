//! Packages and their dependencies, as `cargo metadata` reports them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::table::{BANS, Ban, EVERYTHING, MAY_USE, NOBODY_USES};

/// The workspace's packages and all that they depend on.
pub(super) struct Graph {
    packages: Vec<Package>,
    /// Each crate's name, and the ids of those it is built with, by its id. Tests' dependencies are left out.
    crates: BTreeMap<String, (String, Vec<String>)>,
}

/// A package of the workspace.
pub(super) struct Package {
    id: String,
    pub(super) name: String,
    pub(super) folder: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Only for tests, examples and benchmarks.
    dev: bool,
}

impl Graph {
    /// Reads the output of `cargo metadata`.
    pub(super) fn read(metadata: &Value) -> Result<Graph, String> {
        let members: BTreeSet<&str> =
            list(metadata, "workspace_members")?.filter_map(Value::as_str).collect();
        let mut packages = Vec::new();
        let mut crates = BTreeMap::new();
        for package in list(metadata, "packages")? {
            let (id, name) = (text(package, "id")?, text(package, "name")?);
            crates.insert(id.to_owned(), (name.to_owned(), Vec::new()));
            if members.contains(id) {
                let manifest = PathBuf::from(text(package, "manifest_path")?);
                let dependencies = list(package, "dependencies")?
                    .map(|it| Ok(Dependency { name: text(it, "name")?.to_owned(), dev: it["kind"] == "dev" }))
                    .collect::<Result<_, String>>()?;
                let folder = manifest.parent().map(PathBuf::from).unwrap_or_default();
                packages.push(Package { id: id.to_owned(), name: name.to_owned(), folder, dependencies });
            }
        }
        for node in list(&metadata["resolve"], "nodes")? {
            let used = list(node, "deps")?
                .filter(|dep| {
                    dep["dep_kinds"]
                        .as_array()
                        .is_none_or(|kinds| kinds.iter().any(|it| it["kind"].is_null()))
                })
                .map(|dep| Ok(text(dep, "pkg")?.to_owned()))
                .collect::<Result<_, String>>()?;
            if let Some((_, uses)) = crates.get_mut(text(node, "id")?) {
                *uses = used;
            }
        }
        Ok(Graph { packages, crates })
    }

    pub(super) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Packages that nobody has decided about.
    pub(super) fn unplanned(&self) -> Vec<String> {
        let planned = |name: &str| MAY_USE.iter().any(|(package, _)| *package == name);
        self.packages
            .iter()
            .filter(|package| !planned(&package.name))
            .map(|package| {
                format!(
                    "{}: not in the table: say in xtask/src/arrows/table.rs what it may use",
                    package.name
                )
            })
            .collect()
    }

    /// Arrows between our own packages that the table does not allow.
    pub(super) fn forbidden(&self) -> Vec<String> {
        let ours: BTreeSet<&str> = self.packages.iter().map(|package| package.name.as_str()).collect();
        let mut found = Vec::new();
        for package in &self.packages {
            for dependency in package.dependencies.iter().filter(|it| ours.contains(it.name.as_str())) {
                let Dependency { name, dev } = dependency;
                let rule = if name == NOBODY_USES {
                    "nothing uses the binary, not even a test".to_owned()
                } else if *dev || allowed(&package.name, name) {
                    continue;
                } else {
                    format!("{} may use {}", package.name, in_words(&package.name))
                };
                found.push(format!("{} -> {name}: {rule}", package.name));
            }
        }
        found
    }

    /// Ways from a package to a crate that it must not reach.
    pub(super) fn banned(&self) -> Vec<String> {
        let mut found = Vec::new();
        for ban in BANS {
            for package in self.packages.iter().filter(|it| ban.packages.contains(&it.name.as_str())) {
                found.extend(
                    self.ways(&package.id, ban).into_iter().map(|way| format!("{way}: {}", ban.reason)),
                );
            }
        }
        found
    }

    /// The shortest way from a package to each crate of a ban.
    fn ways(&self, from: &str, ban: &Ban) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![(from, Vec::new())];
        let mut next = 0;
        while let Some((id, way)) = open.get(next).cloned() {
            next += 1;
            let Some((name, uses)) = self.crates.get(id) else { continue };
            let way: Vec<&str> = way.iter().copied().chain([name.as_str()]).collect();
            if ban.crates.contains(&name.as_str()) {
                found.push(way.join(" -> "));
            } else if ban.deep || id == from {
                let unseen = uses.iter().map(String::as_str).filter(|id| seen.insert(id));
                open.extend(unseen.map(|id| (id, way.clone())));
            }
        }
        found
    }
}

/// Whether the table has the arrow.
fn allowed(package: &str, dependency: &str) -> bool {
    let groups = MAY_USE.iter().find(|(name, _)| *name == package).map_or(&[][..], |(_, groups)| groups);
    dependency == "identity" || groups.iter().any(|group| *group == EVERYTHING || group.contains(&dependency))
}

/// The packages that a package may use.
fn in_words(package: &str) -> String {
    let groups = MAY_USE.iter().find(|(name, _)| *name == package).map_or(&[][..], |(_, groups)| groups);
    let names = std::iter::once("identity").chain(groups.iter().flat_map(|group| group.iter().copied()));
    format!("only {}", names.collect::<Vec<_>>().join(", "))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<impl Iterator<Item = &'a Value>, String> {
    Ok(value[field].as_array().ok_or_else(|| format!("cargo metadata has no list {field:?}"))?.iter())
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field].as_str().ok_or_else(|| format!("cargo metadata has no text {field:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of packages with their dependencies; `dev:` before a name makes it a dev-dependency. What is not a
    /// package of the workspace is given in `outside`.
    fn graph(ours: &[(&str, &[&str])], outside: &[(&str, &[&str])]) -> Graph {
        let dependency = |name: &&str| match name.strip_prefix("dev:") {
            Some(name) => serde_json::json!({ "name": name, "kind": "dev" }),
            None => serde_json::json!({ "name": name, "kind": null }),
        };
        let resolved = |name: &&str| match name.strip_prefix("dev:") {
            Some(name) => serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": "dev" }] }),
            None => serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": null }] }),
        };
        let all: Vec<_> = ours.iter().chain(outside).collect();
        let packages: Vec<Value> = all
            .iter()
            .map(|(name, uses)| {
                let dependencies: Vec<Value> = uses.iter().map(dependency).collect();
                let manifest = format!("/house/{name}/Cargo.toml");
                serde_json::json!({ "id": name, "name": name, "manifest_path": manifest, "dependencies": dependencies })
            })
            .collect();
        let nodes: Vec<Value> = all
            .iter()
            .map(|(name, uses)| {
                serde_json::json!({ "id": name, "deps": uses.iter().map(resolved).collect::<Vec<_>>() })
            })
            .collect();
        let members: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
        let metadata = serde_json::json!({
            "packages": packages, "workspace_members": members, "resolve": { "nodes": nodes }
        });
        Graph::read(&metadata).unwrap()
    }

    #[test]
    fn arrows_of_the_plan_are_allowed() {
        let graph = graph(
            &[
                ("identity", &[]),
                ("hash-ring", &[]),
                ("registry", &["identity", "hash-ring"]),
                ("proxy", &["identity", "registry"]),
                ("bellwether", &["proxy", "registry"]),
            ],
            &[],
        );
        assert_eq!(graph.forbidden(), [] as [String; 0]);
        assert_eq!(graph.unplanned(), [] as [String; 0]);
    }

    #[test]
    fn a_core_that_uses_another_core_is_reported_with_both_names_and_the_rule() {
        let graph = graph(&[("traces", &["monitoring"]), ("monitoring", &[])], &[]);
        assert_eq!(graph.forbidden(), ["traces -> monitoring: traces may use only identity"]);
    }

    #[test]
    fn the_two_shells_never_meet() {
        let graph = graph(&[("proxy", &["server"]), ("server", &["proxy"])], &[]);
        assert_eq!(graph.forbidden().len(), 2);
    }

    #[test]
    fn a_test_may_use_what_the_package_may_not_but_never_the_binary() {
        let graph =
            graph(&[("server", &["dev:proxy", "dev:bellwether"]), ("proxy", &[]), ("bellwether", &[])], &[]);
        assert_eq!(graph.forbidden(), ["server -> bellwether: nothing uses the binary, not even a test"]);
    }

    #[test]
    fn a_package_that_nobody_planned_is_reported() {
        let graph = graph(&[("newcomer", &[])], &[]);
        assert!(graph.unplanned()[0].starts_with("newcomer: not in the table"), "{:?}", graph.unplanned());
    }

    #[test]
    fn a_core_must_not_reach_a_runtime_even_through_another_crate() {
        let graph = graph(&[("traces", &["clever"])], &[("clever", &["tokio"]), ("tokio", &[])]);
        let found = graph.banned();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("traces -> clever -> tokio: a core has no I/O"), "{found:?}");
    }

    #[test]
    fn what_only_tests_use_does_not_count_as_reached() {
        let graph =
            graph(&[("traces", &["dev:proptest"])], &[("proptest", &["getrandom"]), ("getrandom", &[])]);
        assert_eq!(graph.banned(), [] as [String; 0]);
    }

    #[test]
    fn wire_may_have_a_runtime_through_tonic_but_not_use_it() {
        let through = graph(&[("wire", &["tonic"])], &[("tonic", &["tokio"]), ("tokio", &[])]);
        assert_eq!(through.banned(), [] as [String; 0]);
        let direct = graph(&[("wire", &["tokio"])], &[("tokio", &[])]);
        assert_eq!(direct.banned().len(), 1);
    }
}
