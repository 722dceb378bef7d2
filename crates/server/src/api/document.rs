//! What the description of the API says at every path alike: a name of its own for each operation, the
//! rules of the names in paths, each answer in words, and problems as what they are sent as.

use utoipa::openapi::{
    OpenApi, RefOr, Response, Schema,
    path::{Operation, Parameter, ParameterIn},
};

/// How problem documents are sent.
const PROBLEM: &str = "application/problem+json";

/// A DNS label, as namespaces, services and policies are named.
const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/// An instance's id. That it is neither `.` nor `..` is said by the refusal.
const INSTANCE_ID: &str = "^[A-Za-z0-9._:@+~-]{1,128}$";

/// Completes what the handlers say of themselves.
pub(super) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(name(method, path));
                operation.parameters.iter_mut().flatten().for_each(restrict);
                describe(operation);
            }
        }
    }
}

/// `get_namespaces_namespace_services`: handlers' names are unique in their modules only.
fn name(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/bellwether/v1").split(|of: char| !of.is_ascii_alphanumeric());
    [method].into_iter().chain(words.filter(|word| !word.is_empty())).collect::<Vec<_>>().join("_")
}

/// Says what a name in the path may look like, for people and for whoever makes clients or tests of it.
fn restrict(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let rule = match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Path, "namespace" | "service" | "policy") => LABEL,
        (ParameterIn::Path, "instance") => INSTANCE_ID,
        _ => return,
    };
    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
        schema.pattern = Some(rule.to_owned());
    }
}

fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let is_answer = status.starts_with('2');
        if !is_answer {
            send_as_problem(response);
        }
        if response.description.is_empty() {
            response.description =
                if is_answer { "the answer" } else { "what is wrong, where, and what to do next" }.to_owned();
        }
    }
}

fn send_as_problem(response: &mut Response) {
    if let Some(content) = response.content.shift_remove("application/json") {
        response.content.insert(PROBLEM.to_owned(), content);
    }
}
