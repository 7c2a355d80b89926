import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import '../../style/base.css';

/**
 * A dialog that shows something and asks for nothing. Its model ends with it.
 */
export class ViewDialog extends Dialog<void> {
  constructor(
    title: string,
    trans: TranslationBundle,
    private readonly _view: VDomRenderer<VDomModel>
  ) {
    super({
      title,
      body: _view,
      buttons: [Dialog.cancelButton({ label: trans.__('Close') })],
      defaultButton: 0
    });
    _view.addClass('jp-PySparkKernels-Form');
    this.addClass('jp-PySparkKernels-Dialog');
    this.addClass('jp-mod-view');
    this.node.setAttribute('aria-label', title);
  }

  dispose(): void {
    this._view.model?.dispose();
    super.dispose();
  }
}
