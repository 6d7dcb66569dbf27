"use strict";

const words = require("./words.js");

module.exports = {
    plugins: { [require.resolve("./rust-comments.js")]: true },
    // `<!-- textlint-disable -->` and `<!-- textlint-enable -->` surround a legitimate use.
    filters: { comments: true },
    rules: {
        "@textlint-rule/pattern": {
            patterns: words.map(([pattern, advice, allowNodeTypes = []]) => ({
                pattern: `/${pattern.source.replaceAll(" ", "\\s+")}/i`,
                message: advice,
                allowNodeTypes,
            })),
        },
    },
};
