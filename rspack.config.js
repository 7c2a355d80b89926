// What the builder's configuration is changed in: less is fetched at JupyterLab's start.

// A name has the hash of its file, so `v`, which lets the server have a file kept, needs none.
module.exports = {
  output: { chunkFilename: '[id].[contenthash:8].js?v=1' }
};
