// A textlint plugin that reads the comments of a Rust file as Markdown.
//
// Code becomes empty lines and the comment marks are removed, so a paragraph keeps its line
// numbers, and code blocks in documentation are recognized as such. Comments after code on the
// same line are not read.
"use strict";

const { parse } = require("@textlint/markdown-to-ast");

const comment = /^\s*\/\/[/!]? ?(.*)$/;

class Processor {
    availableExtensions() {
        return [".rs"];
    }

    processor() {
        return {
            preProcess(source) {
                const text = source.split("\n").map((line) => comment.exec(line)?.[1] ?? "").join("\n");
                return { text, ast: parse(text) };
            },
            postProcess(messages, filePath) {
                return { messages, filePath };
            },
        };
    }
}

module.exports = { Processor };
