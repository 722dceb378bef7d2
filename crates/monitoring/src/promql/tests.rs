mod evaluation;
mod parser;
mod script;
mod scripts;
