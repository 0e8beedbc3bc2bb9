"""What every service needs and no business noun: the shared ground of Gongji's services."""
