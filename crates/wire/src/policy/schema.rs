//! The table of shapes as JSON Schema (draft 2020-12), for editors.

use serde_json::{Map, Value as Json, json};

use super::{
    KINDS,
    shape::{Field, Pattern, Shape},
    table,
};

/// The schema of every kind of policy document.
pub fn schema() -> Json {
    let kinds = KINDS.map(|kind| {
        let mut schema = object(table::document(kind));
        if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
            properties.insert("kind".to_owned(), json!({ "const": kind.as_str() }));
        }
        schema
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://bellwether.dev/v1/policies/schema.json",
        "title": "A policy of Bellwether",
        "oneOf": kinds,
    })
}

fn object(fields: &[Field]) -> Json {
    let needed: Vec<&str> = fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties(fields),
        "additionalProperties": false,
    });
    if !needed.is_empty() {
        schema["required"] = needed.into();
    }
    schema
}

fn properties(fields: &[Field]) -> Map<String, Json> {
    let property = |field: &Field| {
        let mut schema = of(&field.shape);
        if field.nullable {
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        schema["description"] = field.about.into();
        (field.name.to_owned(), schema)
    };
    fields.iter().map(property).collect()
}

fn of(shape: &Shape) -> Json {
    match shape {
        Shape::Object(fields) => object(fields),
        Shape::OneOf(fields) => {
            let mut schema = object(fields);
            schema["minProperties"] = 1.into();
            schema["maxProperties"] = 1.into();
            schema
        }
        Shape::List(item, max) => json!({ "type": "array", "items": of(item), "maxItems": max }),
        Shape::Duration => json!({
            "type": "string",
            "pattern": "^0*([0-9.]+(w|d|h|m|s|ms|us|µs|ns))+$",
            "examples": ["250ms", "1m30s"],
        }),
        Shape::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Shape::Share(above) => {
            let least = if *above { "exclusiveMinimum" } else { "minimum" };
            json!({ "anyOf": [
                { "type": "string", "pattern": "^[0-9.]+%$", "examples": ["50%"] },
                { "type": "number", least: 0, "maximum": 1 },
            ] })
        }
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Text(max, pattern) => text(*max, *pattern),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() }),
    }
}

fn text(max: usize, pattern: Pattern) -> Json {
    let mut schema = json!({ "type": "string", "maxLength": max });
    if let Some(regex) = pattern.regex() {
        schema["pattern"] = regex.into();
    }
    schema
}
