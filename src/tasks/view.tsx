import * as React from 'react';
import type { TaskModel, ITaskServices, ITaskView } from './model';
import { TaskProgress } from './progress';

/**
 * What is drawn of a task, as long as it is drawn.
 */
export function useTaskView(model: TaskModel): ITaskView {
  const [view, setView] = React.useState(model.view);
  React.useEffect(() => {
    const take = (): void => setView(model.view);
    take();
    model.stateChanged.connect(take);
    return () => {
      model.stateChanged.disconnect(take);
    };
  }, [model]);
  return view;
}

/**
 * A task as its model knows it, for dialogs that draw nothing else of it.
 */
export function TaskView(props: {
  model: TaskModel;
  trans: ITaskServices['trans'];
  showsLog?: boolean;
  children?: React.ReactNode;
}): JSX.Element {
  const { model, trans, showsLog, children } = props;
  const view = useTaskView(model);
  return (
    <TaskProgress
      {...view}
      trans={trans}
      showsLog={showsLog}
      onCancel={() => void model.cancel()}
      onResume={() => void model.resume()}
    >
      {children}
    </TaskProgress>
  );
}
