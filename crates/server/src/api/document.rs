//! What the description of the API says at every path alike: a name of its own for each operation, each
//! answer in words, and problems as what they are sent as.

use utoipa::openapi::{OpenApi, RefOr, Response, path::Operation};

/// How problem documents are sent.
const PROBLEM: &str = "application/problem+json";

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
