const jestJupyterLab = require('@jupyterlab/testutils/lib/jest-config');

// Packages that are published as modules only, so that jest has to translate them.
const modules = [
  '@codemirror',
  '@jupyter/',
  '@jupyterlab/',
  '@microsoft/',
  'exenv-es6',
  'lib0',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

module.exports = {
  ...jestJupyterLab(__dirname),
  automock: false,
  collectCoverageFrom: [
    'src/**/*.{ts,tsx}',
    '!src/openapi.ts',
    '!src/__tests__/**'
  ],
  coverageReporters: ['text'],
  roots: ['<rootDir>/src'],
  testRegex: 'src/__tests__/.*.spec.tsx?$',
  transformIgnorePatterns: [`/node_modules/(?!${modules}).+`]
};
