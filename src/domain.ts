/**
 * The translation domain of all our texts.
 */
export const DOMAIN = 'jupyterlab_pyspark_kernels';
