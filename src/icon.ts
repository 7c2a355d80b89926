import { LabIcon } from '@jupyterlab/ui-components';

const star =
  'M11.4 3.5L11.8 10.4L18.6 11.5L12.2 14.1L13.2 20.9L8.9 15.5L2.7 18.7L6.4 12.8L1.5 7.9L8.2 9.7z';
const spark =
  'M18.0 1.1L18.8 3.7L21.4 4.5L18.8 5.3L18.0 7.9L17.2 5.3L14.6 4.5L17.2 3.7z';

/**
 * A star with a spark beside it. Its colour is JupyterLab's, in light and dark themes alike.
 */
export const sparkIcon = new LabIcon({
  name: 'jupyterlab-pyspark-kernels:spark',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 22 22">
  <path class="jp-icon-warn1 jp-icon-selectable" fill="#F57C00" d="${star}${spark}"/>
</svg>`
});
